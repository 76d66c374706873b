"""Comparing an exported file with the network: the limits, and the report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from scripts.exporting.images import Images
from scripts.exporting.source import Source

MAX_DIFFERENCE = 1e-4  # before rounding, for values in [-1, 1]; more only where float32 itself is less exact
MAX_SHARE = 0.001  # of the values, that may differ after rounding
Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""An exported file: from images (N, H, W, C) to translations (N, H, W, C'), and the same before rounding."""


class ExportFailed(Exception):
    """An exported file does not compute what the network computes."""


@dataclass
class Comparison:
    """The differences between an exported file and the network in float64, over the images of all sizes."""

    sizes: list[str]
    origin: str
    """Where the images come from."""
    max_difference: float
    """Before rounding, for values in [-1, 1]."""
    quantile_999: float
    """The difference that 99.9% of the values do not exceed."""
    mean_difference: float
    max_levels: int
    """After rounding, in levels of the stored numbers."""
    share: float
    """The share of values that differ after rounding."""
    float32_difference: float
    """The largest difference of the network itself in float32 from the reference, before rounding."""

    def record(self) -> dict[str, Any]:
        return asdict(self)

    def report(self, file: str) -> str:
        """One line for the console."""
        return (
            f"{file}: {len(self.sizes)} sizes ({', '.join(self.sizes)}), {self.origin}: largest difference "
            f"{self.max_difference:.1e} (values in [-1, 1]), 99.9% of values within {self.quantile_999:.1e}; after "
            f"rounding at most {self.max_levels} {'level' if self.max_levels == 1 else 'levels'}, on "
            f"{100 * self.share:.3f}% of values; the network itself in float32: {self.float32_difference:.1e}"
        )


@dataclass
class Trial:
    """Images, and their translations by the network in float64: float32 adds rounding errors of its own."""

    images: Images
    expected: list[np.ndarray]
    """Values in [-1, 1], (N, H, W, C'), of each batch."""
    float32_difference: float
    """The largest difference of the network in float32."""

    @staticmethod
    def of(source: Source, images: Images) -> Trial:
        exact = source.in_float64()
        expected = [values_of(exact, batch, images.bits) for batch in images.batches]
        found = (values_of(source, batch, images.bits) for batch in images.batches)
        pairs = zip(found, expected, strict=True)
        return Trial(images, expected, max(float(np.abs(own - values).max()) for own, values in pairs))

    def compare(self, run: Run) -> Comparison:
        """Run an exported file on all images. Raises ExportFailed for a result of another shape or type."""
        differences, levels = [], []
        for batch, expected in zip(self.images.batches, self.expected, strict=True):
            pixels, values = run(batch)
            if pixels.shape != expected.shape or values.shape != expected.shape or pixels.dtype != batch.dtype:
                raise ExportFailed(
                    f"returns {pixels.dtype} of shape {pixels.shape} instead of {batch.dtype} {expected.shape}"
                )
            differences.append(np.abs(values - expected).ravel())
            wanted = stored(expected, self.images.bits)
            levels.append(np.abs(pixels.astype(np.int64) - wanted.astype(np.int64)).ravel())
        difference, level = np.concatenate(differences), np.concatenate(levels)
        return Comparison(
            sizes=[f"{batch.shape[2]}x{batch.shape[1]}" for batch in self.images.batches],
            origin=self.images.origin,
            max_difference=float(difference.max()),
            quantile_999=float(np.quantile(difference, 0.999)),
            mean_difference=float(difference.mean()),
            max_levels=int(level.max()),
            share=float((level > 0).mean()),
            float32_difference=self.float32_difference,
        )


def require_equal(comparison: Comparison, file: str, bits: int) -> None:
    """Raise ExportFailed if a file differs from the network by more than rounding in float32 explains.

    Before rounding, that is MAX_DIFFERENCE, or the difference of the network itself in float32 where that is larger:
    the norm of deep layers magnifies rounding errors in some trained networks, in every implementation.
    """
    allowed = max(MAX_DIFFERENCE, comparison.float32_difference)
    # A difference of MAX_DIFFERENCE is 0.013 levels of 8 bits, but 3.3 levels of 16 bits.
    max_levels, max_share = (1, MAX_SHARE) if bits == 8 else (4, 1.0)
    is_close = comparison.max_difference <= allowed  # False for NaN
    if not is_close or comparison.max_levels > max_levels or comparison.share > max_share:
        raise ExportFailed(
            f"{comparison.report(file)}; the limits are {allowed:.1e}, and {max_levels} "
            f"{'level' if max_levels == 1 else 'levels'} on {100 * max_share:g}% of values"
        )


def values_of(source: Source, images: np.ndarray, bits: int) -> np.ndarray:
    """The network's translations in [-1, 1], (N, H, W, C'), of stored images (N, H, W, C)."""
    x = torch.from_numpy(np.ascontiguousarray(images).astype(np.float64)).permute(0, 3, 1, 2)
    x = x.to(torch.uint8) if source.classes else x / ((2**bits - 1) / 2) - 1
    return source.translate(x).permute(0, 2, 3, 1).contiguous().numpy()


def stored(values: np.ndarray, bits: int) -> np.ndarray:
    """Values in [-1, 1] as numbers of 8 or 16 bits."""
    levels = ((values + 1) * ((2**bits - 1) / 2)).round().clip(0, 2**bits - 1)
    return levels.astype({8: np.uint8, 16: np.uint16}[bits])
