"""Every dataset of the registry, in every stage that it supports."""

from __future__ import annotations

import argparse
import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data import DATASETS, create_dataset
from options import TestOptions
from tests.conftest import SMALL, Options, write_tiles
from tests.data.test_loader import equal, load
from util.errors import UserError
from util.stage import Stage

IMAGE, GRAY, COLOR, LABELS = (3, 32, 32), (1, 32, 32), (2, 32, 32), (1, 32, 32)
# The flags of each dataset, and the tensors of a sample: shapes by key.
CASES: dict[str, tuple[list[Any], dict[str, tuple[int, ...]]]] = {
    "unaligned": (["--model", "cycle_gan"], {"A": IMAGE, "B": IMAGE}),
    "aligned": (["--model", "pix2pix"], {"A": IMAGE, "B": IMAGE}),
    "aligned, class ids": (["--model", "pix2pix", "--label_nc", 5], {"A": LABELS, "B": IMAGE}),
    "single": (["--dataset_mode", "single"], {"A": IMAGE}),
    "colorization": (["--model", "colorization"], {"A": GRAY, "B": COLOR}),
    "template": (["--model", "template", "--dataset_mode", "template"], {"A": IMAGE, "B": IMAGE}),
    "latent": (["--model", "dcgan"], {"z": (100,), "z_end": (100,)}),
}
TRAINABLE = [case for case in CASES if case != "latent"]
IN_FOLDERS = ("unaligned", "aligned", "aligned, class ids")


@pytest.fixture
def dataroot(tmp_path: Path) -> Path:
    """Images for each dataset: <phase>A and <phase>B with class ids in A and the same names in B, and <phase>."""
    for phase in ("train", "val", "test"):
        for folder in (f"{phase}A", f"{phase}B", phase):
            for path in write_tiles(tmp_path / "every" / folder, 3):
                if folder.endswith("A"):
                    Image.open(path).convert("L").point(lambda gray: gray % 5).save(path)
    return tmp_path / "every"


def root_of(case: str, dataroot: Path, phase: str) -> Path:
    """The --dataroot of a case: where a dataset prefers <phase> to <phase>A, it must not see both."""
    if case in IN_FOLDERS:
        for name in ("train", "val", "test"):
            if (dataroot / name).is_dir():
                (dataroot / name).rename(dataroot / f"images_{name}")
    return dataroot / phase if case == "single" else dataroot


def check_sample(sample: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    assert {key for key, value in sample.items() if isinstance(value, Tensor) and "truth" not in key} == set(shapes)
    for key, shape in shapes.items():
        value = sample[key]
        assert value.shape == shape
        if shape == LABELS and value.dtype == torch.uint8:
            assert value.max() < 5
            continue
        assert value.dtype == torch.float32 and torch.isfinite(value).all()
        if not key.startswith("z"):
            assert -1 <= value.min() < value.max() <= 1
            assert Path(sample[f"{key}_paths"]).is_file()


def test_every_dataset_is_swept() -> None:
    assert {case.split(",")[0] for case in CASES} == set(DATASETS.names())


@pytest.mark.parametrize("stage", [Stage.TRAIN, Stage.VALIDATE])
@pytest.mark.parametrize("case", TRAINABLE)
def test_a_sample_in_a_training_run(case: str, stage: Stage, options: Options, dataroot: Path) -> None:
    flags, shapes = CASES[case]
    phase = "train" if stage is Stage.TRAIN else "val"
    opt = options("--dataroot", root_of(case, dataroot, phase), *flags, "--load_size", 48)
    before = copy.deepcopy(vars(opt))
    dataset = create_dataset(opt, stage, phase).dataset
    assert dataset.stage is stage and dataset.phase == phase
    sample = dataset[1, 0]
    check_sample(sample, shapes)
    truths = {key for key in sample if key.endswith("_truth")}
    assert truths == ({"A_truth", "B_truth"} if (case, stage) == ("unaligned", Stage.VALIDATE) else set())
    assert all(Path(sample[key]).relative_to(dataroot).parts[0].startswith(phase) for key in sample if "paths" in key)
    if stage is Stage.VALIDATE:
        assert equal_samples(sample, dataset[2, 0])
    else:
        assert not all(equal_samples(sample, dataset[epoch, 0]) for epoch in (2, 3, 4))
    assert vars(opt) == before


@pytest.mark.parametrize("case", CASES)
def test_a_sample_in_testing(case: str, dataroot: Path, tmp_path: Path) -> None:
    flags, shapes = CASES[case]
    opt = test_options(case, dataroot, tmp_path, flags)
    sample = create_dataset(opt).dataset[1, 0]
    check_sample(sample, shapes)
    assert equal_samples(sample, create_dataset(opt).dataset[1, 0])


def test_options(case: str, dataroot: Path, tmp_path: Path, flags: list[Any]) -> argparse.Namespace:
    """The options of test.py for weights without a run's options.json."""
    (tmp_path / "checkpoints" / "foreign").mkdir(parents=True, exist_ok=True)
    small = [flag for flag in SMALL if case != "latent" or flag not in ("--netG", "resnet_6blocks")]
    root = root_of(case, dataroot, "test")
    argv = ["--dataroot", root, "--checkpoints_dir", tmp_path / "checkpoints", "--name", "foreign", *flags, *small]
    return TestOptions().parse([str(part) for part in argv])


test_options.__test__ = False  # type: ignore[attr-defined]


def equal_samples(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width", "scale_width_and_crop", "none"])
@pytest.mark.parametrize("case", TRAINABLE)
def test_validation_in_training_gives_what_testing_gives(
    case: str, preprocess: str, options: Options, dataroot: Path, tmp_path: Path
) -> None:
    """The batches that a training run validates on are those of test.py on the same folder, bit for bit."""
    flags = [*CASES[case][0], "--preprocess", preprocess]
    root = root_of(case, dataroot, "test")
    opt = options("--dataroot", root, *flags, "--load_size", 48, "--batch_size", 2)
    validating = list(create_dataset(opt, Stage.VALIDATE, "test"))
    tested = test_options(case, dataroot, tmp_path, flags)
    tested.batch_size = 2
    expected, _ = load(tested)
    assert len(validating) == len(expected) == 2
    assert all(equal_samples(one, other) for one, other in zip(validating, expected, strict=True))


def test_latents_are_only_for_testing(options: Options, dataroot: Path) -> None:
    opt = options("--dataroot", dataroot)
    opt.dataset_mode = "latent"
    with pytest.raises(UserError, match=r"^--dataset_mode latent is only for testing"):
        create_dataset(opt)


@pytest.mark.parametrize("case", ["single", "latent"])
def test_num_test_limits_testing(case: str, dataroot: Path, tmp_path: Path) -> None:
    opt = test_options(case, dataroot, tmp_path, [*CASES[case][0], "--num_test", "2"])
    batches, _ = load(opt)
    assert sum(len(batch["A_paths"]) for batch in batches) == 2
    if case == "latent":
        random = np.random.default_rng((opt.seed, 1, 1))
        assert torch.equal(batches[1]["z"][0], torch.from_numpy(random.standard_normal((2, 100), dtype=np.float32)[0]))
