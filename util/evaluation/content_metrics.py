"""Metrics that compare a translation with its source image: how much of the content is preserved. They need no pairs.

An identical copy of the source is perfect by these metrics: read them together with one for the target domain.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from util.evaluation.metric import Extractor, Metric, Needs

SCALES = (1, 2, 4)  # pixels
FAINT = 1 / 255  # gradients whose mean is near one 8-bit step per pixel are mostly rounding


def edge_distance(image: Tensor, source: Tensor) -> float:
    """How different the edges of two images (C, H, W) are, in 0..1: 0 for equal edges, 1 where none coincide.

    With the gradients (gx, gy) of each channel at a pixel, q = mean over channels of (gx^2 - gy^2, 2 gx gy) has twice
    the angle of the gradient, so that an edge from dark to bright equals one from bright to dark (Bigun and Granlund
    1987). e = q / |q|^(1/2) is as long as a gradient, and is divided by its mean length, so that contrast does not
    matter. The distance is sum |e1 - e2| / sum (|e1| + |e2|), averaged over the image at its own size and averaged over
    blocks of 2x2 and 4x4 pixels. A source of another size is resized.
    """
    if image.shape[-2:] != source.shape[-2:]:
        size = list(image.shape[-2:])
        source = F.interpolate(source[None].float(), size=size, mode="bilinear", antialias=True)[0]
    distances = []
    for scale in SCALES:
        x, y = (_edges(F.avg_pool2d(picture.float(), scale)) for picture in (image, source))
        length = float((x.norm(dim=0) + y.norm(dim=0)).sum())
        distances.append(float((x - y).norm(dim=0).sum()) / length if length > 0 else 0.0)
    return sum(distances) / len(distances)


def _edges(image: Tensor) -> Tensor:
    """The normalized edges e (2, H - 2, W - 2) of an image (C, H, W)."""
    gx = (image[:, 1:-1, 2:] - image[:, 1:-1, :-2]) / 2
    gy = (image[:, 2:, 1:-1] - image[:, :-2, 1:-1]) / 2
    q = torch.stack([(gx**2 - gy**2).mean(0), (2 * gx * gy).mean(0)])
    edges = q / q.norm(dim=0).clamp(min=1e-12).sqrt()
    return edges / (edges.norm(dim=0).mean() + FAINT)


def self_similarity_distance(extractor: Extractor, image: Tensor, source: Tensor) -> float | None:
    """How different the self-similarities of an image and its source are, in 0..2; 0 if they are equal.

    The mean of |S1 - S2|, where S is the matrix of the cosine similarities of the features of all pairs of places
    (Kolkin et al. 2019, equation 6, without its scaling by rows; Tumanyan et al. 2022). Places that look alike in the
    source should look alike in the translation, whatever they now look like.
    """
    x, y = extractor.spatial(image), extractor.spatial(source)
    if x is None or y is None:
        return None
    return float((_similarities(x) - _similarities(y)).abs().mean())


def _similarities(features: Tensor) -> Tensor:
    """The cosine similarities (h w, h w) of the places of features (C, h, w)."""
    places = F.normalize(features.flatten(1).cpu().double(), dim=0)
    return places.T @ places


EDGES = Metric(
    "edges",
    "edge_distance",
    "edge distance",
    Needs.SOURCE,
    edge_distance,
    (0, 1),
    higher_is_better=False,
    smallest_image=3 * max(SCALES),
    digits=3,
)
SELF_SIMILARITY = Metric(
    "self_similarity",
    "self_similarity_distance",
    "self-similarity distance",
    Needs.SOURCE,
    self_similarity_distance,
    (0, 2),
    higher_is_better=False,
    smallest_image=16,
    takes_extractor=True,
)
