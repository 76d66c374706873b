"""Compare figures with those of torch-fidelity on the same two folders of images and the same features.

python -m tests.util.evaluation.agreement translations real --inception_weights weights.pth
python -m tests.util.evaluation.agreement translations real --random_weights        # without the published weights

Inception features are those of the legacy resizing, which the library has; KID is that of one subset of all images, and
is compared times 1000. The folders need the same number of images for it. Exits with 1 if a figure differs by more than
1e-3, relative to the larger of 1 and the figure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from data.formats.image_reader import read_image
from util.evaluation import set_metrics
from util.evaluation.extractors import Resolution, create

TOLERANCE = 1e-3


def save_random_weights(path: Path) -> Path:
    """Write a file of Inception weights in the library's format, with random numbers whose activations stay finite."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):  # type: ignore[misc]
        def load_state_dict(self, *_: object, **__: object) -> None:  # type: ignore[override]
            """The constructor always loads a file."""

    torch.manual_seed(0)
    torch.save({}, path)
    network = Unloaded("random", ["2048"], feature_extractor_weights_path=path)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    torch.save(network.state_dict(), path)
    return path


def our_figures(first: Path, second: Path, weights: Path) -> dict[str, float]:
    extractor = create(Resolution("inception", weights), "legacy", "cpu")
    assert extractor is not None
    fakes, reals = (
        np.array([extractor(read_image(path, 3) / 255) for path in sorted(folder.iterdir())])
        for folder in (first, second)
    )
    return {
        "frechet_inception_distance": set_metrics.frechet_distance(fakes, reals),
        "kernel_inception_distance_mean": set_metrics.kernel_distance(fakes, reals),
        "precision": set_metrics.precision(fakes, reals),
        "recall": set_metrics.recall(fakes, reals),
    }


def library_figures(first: Path, second: Path, weights: Path) -> dict[str, float]:
    import torch_fidelity

    count = len(list(first.iterdir()))
    found = torch_fidelity.calculate_metrics(
        input1=str(first),
        input2=str(second),
        feature_extractor="inception-v3-compat",  # for precision and recall its default is VGG16
        feature_extractor_weights_path=str(weights),
        fid=True,
        kid=True,
        prc=True,
        kid_subsets=1,
        kid_subset_size=count,
        prc_neighborhood=set_metrics.NEIGHBORS,
        batch_size=1,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    scale = {"kernel_inception_distance_mean": 1000}
    return {key: scale.get(key, 1) * float(value) for key, value in found.items()}


def differences(first: Path, second: Path, weights: Path) -> dict[str, tuple[float, float, float]]:
    """By figure: ours, the library's, and the difference relative to the larger of 1 and the figure."""
    ours, theirs = our_figures(first, second, weights), library_figures(first, second, weights)
    return {
        key: (value, theirs[key], abs(value - theirs[key]) / max(1, abs(theirs[key]))) for key, value in ours.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="folder of translations")
    parser.add_argument("second", type=Path, help="folder of real images, as many")
    weights = parser.add_mutually_exclusive_group(required=True)
    weights.add_argument("--inception_weights", type=Path, help="file of the library's weights")
    weights.add_argument("--random_weights", action="store_true", help="random weights")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = given.inception_weights or save_random_weights(Path(folder) / "random.pth")
        rows = differences(given.first, given.second, file)
    for key, (ours, theirs, difference) in rows.items():
        print(f"{key}: {ours:.6f}, the library {theirs:.6f}, difference {difference:.1e}")
    return int(any(difference > TOLERANCE for _, _, difference in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
