"""A validation loader beside the training loader, and datasets of users that know of no stage."""

from __future__ import annotations

import argparse
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data import create_dataset
from data.base_dataset import BaseDataset, Sample
from data.cache import RamCache
from data.unaligned_dataset import UnalignedDataset
from tests.conftest import Options, write_tiles
from tests.data.test_loader import ROOT, Batch, names, same, spoil, with_workers
from util.stage import Stage


@pytest.fixture
def with_val(two_domains: Path) -> Path:
    """`two_domains` with 5 images in valA and 3 in valB, one of them unreadable."""
    write_tiles(two_domains / "valA", 5)
    write_tiles(two_domains / "valB", 3)
    spoil(two_domains / "valA" / "03.png")
    return two_domains


def training_batches(opt: argparse.Namespace, validate: bool) -> tuple[list[Batch], list[Any]]:
    """The batches of two epochs and the random states after each, with or without validation passes in between."""
    torch.manual_seed(3)
    np.random.seed(3)
    training = create_dataset(opt)
    validation = create_dataset(opt, Stage.VALIDATE, "val") if validate else None
    batches, states = [], []
    for epoch in (1, 2):
        training.set_epoch(epoch)
        for batch in training:
            batches.append(batch)
            torch.rand(3), np.random.rand(3)  # a step that draws from the global random states
            if validation is not None:
                validation.print_message = lambda _: None
                assert names(list(validation)) == ["00.png", "01.png", "02.png", "04.png"]
            states.append([torch.get_rng_state().tolist(), str(np.random.get_state())])
    return batches, states


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("cache", ["none", "ram"])
def test_validation_passes_change_nothing_in_training(
    options: Options, with_val: Path, num_threads: int, cache: str
) -> None:
    opt = with_workers(options("--load_size", 40, "--batch_size", 2, "--cache", cache), num_threads)
    alone, states = training_batches(opt, validate=False)
    beside, states_beside = training_batches(opt, validate=True)
    assert len(alone) == 6 and same(alone, beside)
    assert states == states_beside


def test_every_validation_pass_is_the_same_and_reports_anew(options: Options, with_val: Path) -> None:
    loader, printed = create_dataset(options("--load_size", 40), Stage.VALIDATE, "val"), []
    loader.print_message = printed.append
    passes = [list(loader) for _ in range(3)]
    assert same(passes[0], passes[1]) and same(passes[0], passes[2])
    assert names(passes[0], "B") == ["00.png", "01.png", "02.png", "01.png"]  # in order, without a draw
    assert printed[0].startswith(f"skipped unreadable image {with_val / 'valA' / '03.png'}: ")
    assert printed[1:] == ["unreadable files: 1; samples skipped: 1"] * 3


def test_a_validation_pass_is_complete_after_a_worker_has_died(options: Options, with_val: Path) -> None:
    import multiprocessing

    loader = create_dataset(with_workers(options(), 1), Stage.VALIDATE, "val")
    loader.print_message = lambda _: None
    expected = list(loader)
    before = multiprocessing.active_children()
    for _ in loader:
        for worker in before:
            worker.kill()
            worker.join()
    assert same(list(loader), expected)


def test_a_validation_loader_has_the_truths(options: Options, with_val: Path) -> None:
    batches = list(create_dataset(options("--max_dataset_size", 1), Stage.VALIDATE, "val"))
    assert len(batches) == 1 and torch.equal(batches[0]["B_truth"][0], batches[0]["B"][0])


def test_num_test_and_translate_concern_only_testing(options: Options, with_val: Path) -> None:
    opt = options()
    opt.num_test, opt.translate = 2, "A"
    loader = create_dataset(opt, Stage.VALIDATE, "val")
    loader.print_message = lambda _: None
    batches = list(loader)
    assert len(batches) == 4 and {"A", "B"} <= batches[0].keys()
    tested = list(create_dataset(opt, Stage.TEST, "test"))
    assert len(tested) == 2 and "B" not in tested[0]


def test_two_caches_in_memory_share_what_is_free(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.cache.available_memory", lambda: 40_000_000)
    monkeypatch.setattr(RamCache, "instances", type(RamCache.instances)())
    caches = [create_dataset(options("--cache", "ram"), stage).dataset.cache for stage in (Stage.TRAIN, Stage.VALIDATE)]
    sizes = [cache.unfilled() for cache in caches if isinstance(cache, RamCache)]
    assert sizes == [30_000_000, 7_500_000]


# Datasets of users.


class OldDataset(BaseDataset):
    """Takes `opt` alone, and reads from it what is now an argument."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.seen = opt.is_train, opt.phase, opt.load_size

    def __len__(self) -> int:
        return 3

    def load(self, index: int, random: np.random.Generator) -> Sample:
        path = sorted((Path(self.opt.dataroot) / f"{self.opt.phase}A").iterdir())[index]
        return {"A": self.image(path, 3, random), "is_train": self.opt.is_train, "A_paths": str(path)}


class OldUnaligned(UnalignedDataset):
    """Extends a dataset of this project, without an `__init__` of its own."""

    def load(self, index: int, random: np.random.Generator) -> Sample:
        return super().load(index, random) | {"is_train": self.opt.is_train}


class OldUnalignedWithInit(OldUnaligned):
    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


@pytest.mark.parametrize(
    ("stage", "phase", "seen"),
    [
        (None, None, (True, "train", 40)),
        (Stage.TRAIN, "test", (True, "test", 40)),
        (Stage.VALIDATE, "val", (False, "val", 32)),
        (Stage.TEST, "test", (False, "test", 32)),
    ],
)
def test_an_old_dataset_finds_its_stage_in_the_options(
    options: Options, with_val: Path, stage: Stage | None, phase: str | None, seen: tuple[Any, ...]
) -> None:
    opt = options("--load_size", 40, "--dataset_mode", f"{__name__}:OldDataset")
    with pytest.warns(FutureWarning, match=r"^OldDataset\(opt\) is now OldDataset\(opt, stage, phase\)$"):
        loader = create_dataset(opt, stage, phase)
    assert loader.dataset.seen == seen and loader.dataset.stage is (stage or Stage.TRAIN)
    assert (opt.is_train, opt.phase, opt.load_size) == (True, "train", 40)
    loader.print_message = lambda _: None
    batches = list(loader)
    assert all(batch["is_train"] == [seen[0]] for batch in batches)
    assert len(batches) == 3


@pytest.mark.parametrize("name", ["OldUnaligned", "OldUnalignedWithInit"])
def test_an_old_subclass_is_the_dataset_that_it_extends(
    options: Options, with_val: Path, name: str, quiet: None
) -> None:
    for stage, phase in ((Stage.TRAIN, "train"), (Stage.VALIDATE, "test")):
        old = options("--load_size", 40, "--dataset_mode", f"{__name__}:{name}")
        batches = list(create_dataset(old, stage, phase))
        assert {batch.pop("is_train")[0] for batch in batches} == {stage is Stage.TRAIN}
        assert same(batches, list(create_dataset(options("--load_size", 40), stage, phase)))


def test_a_subclass_that_needs_no_change_does_not_warn(options: Options) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_dataset(options("--dataset_mode", f"{__name__}:OldUnaligned"))


def test_old_names_warn_and_work(options: Options, two_domains: Path) -> None:
    from data.formats import image_reader

    with pytest.warns(FutureWarning, match="BadImage is now UnreadableImage"):
        assert image_reader.BadImage is image_reader.UnreadableImage
    dataset = create_dataset(options()).dataset
    path = two_domains / "trainA" / "00.png"
    image = dataset.decode(path, 3)
    with pytest.warns(FutureWarning, match=r"BaseDataset\.kept is now BaseDataset\.cached"):
        assert dataset.kept([path], "", lambda: image) is image
    with pytest.warns(FutureWarning, match=r"BaseDataset\.refuse_thin is now BaseDataset\.check_size"):
        dataset.refuse_thin(path, image)


def test_the_options_of_datasets_import_neither_torch_nor_torchvision() -> None:
    files = sorted(path.stem for path in (ROOT / "data").glob("*_options.py"))
    program = (
        f"import sys, importlib, data\nfor name in {files}: importlib.import_module('data.' + name)\n"
        "print([name for name in ('torch', 'torchvision', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout == "[]\n" and len(files) >= 6, done.stderr
