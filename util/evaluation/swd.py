"""The sliced Wasserstein distance of patches of a Laplacian pyramid (Karras et al. 2018, section 5). Needs no network.

It differs from the paper so that small sets of images of any size are comparable: images are resized to 128x128;
patches are taken at the places of a fixed grid; both sets are normalized with the mean and deviation of the real
images, instead of each with its own, so that a shift of color counts; sets of different sizes are compared at equal
quantiles.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from util.evaluation.metric import Metric, Needs, as_rgb

SIZE = 128  # pixels
LEVELS = 4  # 128, 64, 32, 16 pixels
PATCH = 7  # pixels
GRID = 8  # patches in each direction and level
PROJECTIONS = 256
SEED = 20181  # fixed, so that figures of different runs are comparable
FLAT = 1 / 255  # the smallest deviation to divide by: one 8-bit step


class Patches:
    """Descriptor (4, 64, 147): at each level of the pyramid 64 patches of 7x7 pixels, with 3 channels."""

    name = f"patches, {SIZE} px"

    def __call__(self, image: Tensor) -> np.ndarray | None:
        if (rgb := as_rgb(image)) is None:
            return None
        resized = F.interpolate(rgb[None].float().cpu(), size=(SIZE, SIZE), mode="bilinear", antialias=True)
        return np.stack([_patches(level[0].numpy()) for level in pyramid(resized)])


def pyramid(image: Tensor) -> list[Tensor]:
    """The Laplacian pyramid (Burt and Adelson 1983) of images (N, C, S, S); the last level is a smaller image."""
    levels = []
    for _ in range(LEVELS - 1):
        smaller = _blur(image, 1.0)[..., ::2, ::2]
        enlarged = torch.zeros_like(image)
        enlarged[..., ::2, ::2] = smaller
        levels.append(image - _blur(enlarged, 4.0))
        image = smaller
    return [*levels, image]


def _blur(image: Tensor, gain: float) -> Tensor:
    """Filter with the binomial 5x5 kernel, reflecting at the borders."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    weights = (gain * torch.outer(line, line)).expand(image.shape[1], 1, 5, 5)
    return F.conv2d(F.pad(image, (2, 2, 2, 2), mode="reflect"), weights, groups=image.shape[1])


def _patches(level: np.ndarray) -> np.ndarray:
    """Patches (64, C * 49) of a level (C, S, S) at the places of the grid."""
    starts = np.linspace(0, level.shape[-1] - PATCH, GRID).round().astype(int)
    windows = np.lib.stride_tricks.sliding_window_view(level, (PATCH, PATCH), axis=(1, 2))
    chosen = windows[:, starts][:, :, starts]  # (C, GRID, GRID, PATCH, PATCH)
    return np.ascontiguousarray(np.moveaxis(chosen, 0, 2).reshape(GRID * GRID, -1), dtype=np.float32)


def sliced_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    """1000 times the mean over levels and directions of the Wasserstein-1 distance of projected patches.

    Takes descriptors (n, 4, 64, 147) and (m, 4, 64, 147). 0 for equal sets. Values below that of two halves of the
    real images are chance.
    """
    levels = zip(np.moveaxis(fakes, 1, 0), np.moveaxis(reals, 1, 0), strict=True)
    return 1000 * float(np.mean([_level_distance(x, y) for x, y in levels]))


def _level_distance(fakes: np.ndarray, reals: np.ndarray) -> float:
    """The distance of patches (n, 64, 147) and (m, 64, 147) of a level."""
    colors = reals.reshape(len(reals), -1, 3, PATCH * PATCH)
    mean = colors.mean((0, 1, 3), dtype=np.float64).repeat(PATCH * PATCH)
    deviation = np.maximum(colors.std((0, 1, 3), dtype=np.float64), FLAT).repeat(PATCH * PATCH)
    scaled = directions(fakes.shape[-1]) / deviation[:, None].astype(np.float32)  # normalizes while projecting
    x, y = (np.sort(_project(patches, mean, scaled), axis=1) for patches in (fakes, reals))
    count = max(x.shape[1], y.shape[1])
    return float(np.abs(quantiles(x, count) - quantiles(y, count)).mean(dtype=np.float64))


def _project(patches: np.ndarray, mean: np.ndarray, scaled: np.ndarray) -> np.ndarray:
    """Projections (directions, all patches)."""
    flat = patches.reshape(-1, patches.shape[-1])
    return np.ascontiguousarray(((flat - mean.astype(np.float32)) @ scaled).T)


@cache
def directions(dimensions: int) -> np.ndarray:
    """Random unit vectors (dimensions, PROJECTIONS), always the same."""
    vectors = np.random.default_rng(SEED).standard_normal((dimensions, PROJECTIONS))
    return (vectors / np.linalg.norm(vectors, axis=0)).astype(np.float32)


def quantiles(values: np.ndarray, count: int) -> np.ndarray:
    """`count` equally spaced quantiles of sorted rows (directions, n), interpolated; the rows themselves for n."""
    n = values.shape[1]
    if n == count:
        return values
    places = np.clip((np.arange(count) + 0.5) / count * n - 0.5, 0, n - 1)
    low = np.minimum(places.astype(int), n - 2) if n > 1 else np.zeros(count, dtype=int)
    weight = (places - low).astype(values.dtype)
    return np.asarray(values[:, low] * (1 - weight) + values[:, np.minimum(low + 1, n - 1)] * weight)


SWD = Metric(
    "swd",
    "swd_x1000",
    f"SWD x1000 ({SIZE} px)",
    Needs.SETS,
    sliced_distance,
    (0, float("inf")),
    higher_is_better=False,
    describe=Patches(),
    digits=1,
)
