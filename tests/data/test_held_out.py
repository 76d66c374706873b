"""Validation images: held out by a stable hash, whole groups together, the same in both domains."""

from __future__ import annotations

import argparse
import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data import create_dataset, create_validation_dataset, held_out
from data.held_out import Selection
from tests.conftest import Options
from util.errors import UserError
from util.stage import Stage

NAMES = [f"patient{i // 4:02}_slice{i % 4}.png" for i in range(400)]


def selection(stage: Stage, **options: object) -> Selection:
    return Selection(argparse.Namespace(**options), stage)


def chosen(stage: Stage, names: list[str] = NAMES, **options: object) -> set[str]:
    return {names[i] for i in selection(stage, **options).choose(names, "trainA")}


def validation(opt: argparse.Namespace) -> Any:
    return create_validation_dataset(opt, create_dataset(opt))


def test_training_and_validation_share_no_image_and_lose_none() -> None:
    train, val = chosen(Stage.TRAIN, val_fraction=0.1), chosen(Stage.VALIDATE, val_fraction=0.1)
    assert train | val == set(NAMES) and not train & val
    assert 20 <= len(val) <= 60  # 40 are expected, with a standard deviation of 6


def test_the_choice_depends_on_the_stem_alone() -> None:
    def below(stem: str) -> bool:
        return int.from_bytes(hashlib.sha256(stem.encode()).digest()[:8], "big") < 0.3 * 2**64

    assert chosen(Stage.VALIDATE, val_fraction=0.3) == {name for name in NAMES if below(name[:-4])}
    fewer, other_type = NAMES[::3], [name.replace(".png", ".tif") for name in NAMES]
    assert chosen(Stage.VALIDATE, fewer, val_fraction=0.3) == chosen(Stage.VALIDATE, val_fraction=0.3) & set(fewer)
    assert chosen(Stage.VALIDATE, other_type, val_fraction=0.3) == {
        name.replace(".png", ".tif") for name in chosen(Stage.VALIDATE, val_fraction=0.3)
    }


def test_the_choice_is_the_same_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"patient{i // 4}/{i % 4}.png" for i in range(100)]
    expected = chosen(Stage.VALIDATE, names, val_fraction=0.3)
    monkeypatch.setattr(held_out.os, "sep", "\\")
    found = chosen(Stage.VALIDATE, [name.replace("/", "\\") for name in names], val_fraction=0.3)
    assert {name.replace("\\", "/") for name in found} == expected


@pytest.mark.parametrize("pattern", ["^patient[0-9]+", "(patient[0-9]+)_slice", "(patient)([0-9]+)_(slice)"])
def test_a_group_is_held_out_as_a_whole(pattern: str) -> None:
    val = chosen(Stage.VALIDATE, val_fraction=0.2, val_group=pattern)
    patients = {name.split("_")[0] for name in val}
    assert 0 < len(patients) < 100 and val == {name for name in NAMES if name.split("_")[0] in patients}
    assert val.isdisjoint(chosen(Stage.TRAIN, val_fraction=0.2, val_group=pattern))


def test_a_name_without_a_group_is_an_error() -> None:
    with pytest.raises(UserError, match=r"--val_group \^patient does not match scan7: every file name needs a group"):
        chosen(Stage.TRAIN, [*NAMES, "scan7.png"], val_fraction=0.2, val_group="^patient")


def test_a_fraction_that_holds_out_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match=r"^--val_fraction 0\.01 holds out no image of the 3 in trainA"):
        chosen(Stage.VALIDATE, NAMES[:3], val_fraction=0.01)


def test_validation_is_limited_to_a_number_of_images() -> None:
    few = chosen(Stage.VALIDATE, val_images=30)
    assert len(few) == 30 and few < chosen(Stage.VALIDATE, val_images=60)
    assert chosen(Stage.TRAIN, val_images=30) == chosen(Stage.TEST, val_images=30) == set(NAMES)
    assert len({name.split("_")[0] for name in few}) > 20  # not the first ones by name


def test_testing_uses_all_images() -> None:
    assert chosen(Stage.TEST, val_fraction=0.5, val_group="^patient") == set(NAMES)


def file_names(dataset: object) -> dict[str, set[str]]:
    return {folder: {path.stem for path in paths} for folder, paths in dataset.dataset.files().items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", ["unaligned", "aligned", "template"])
def test_every_dataset_holds_out_images(mode: str, options: Options, tmp_path: Path) -> None:
    for folder in ("trainA", "trainB", "train"):
        (tmp_path / "many" / folder).mkdir(parents=True)
        if folder == "train" and mode != "template":
            (tmp_path / "many" / folder).rmdir()
            continue
        for i in range(30):
            Image.new("RGB", (16, 16), (8 * i, 0, 0)).save(tmp_path / "many" / folder / f"{i}.png")
    flags = ["--dataroot", str(tmp_path / "many"), "--dataset_mode", mode]
    opt = options(*flags, "--val_fraction", "0.3")
    train, val, everything = create_dataset(opt), validation(opt), create_dataset(options(*flags))
    assert val is not None
    for folder, names in file_names(everything).items():
        assert file_names(train)[folder] | file_names(val)[folder] == names
        assert not file_names(train)[folder] & file_names(val)[folder]
        assert file_names(val)[folder]
    assert len({frozenset(names) for names in file_names(val).values()}) == 1  # pairs stay pairs


def test_validation_folders_are_used_and_exclude_a_fraction(options: Options, tmp_path: Path) -> None:
    root = tmp_path / "photos"
    shutil.copytree(options().dataroot, root)
    flags = ["--dataroot", str(root)]
    opt = options(*flags)
    assert validation(opt) is None
    for domain in "AB":
        shutil.copytree(root / f"train{domain}", root / f"val{domain}")
    dataset = validation(options(*flags, "--max_dataset_size", "1"))
    assert dataset is not None and set(dataset.dataset.files()) == {"valA", "valB"}
    assert len(dataset) == len(list((root / "valA").iterdir())) > 1  # --max_dataset_size limits training
    assert dataset.dataset.stage is Stage.VALIDATE
    assert validation(options(*flags, "--val_freq", "0")) is None
    with pytest.raises(UserError, match=r"^--val_fraction 0\.2 holds out training images, but .* has folders of "):
        validation(options(*flags, "--val_fraction", "0.2"))


def test_a_dataset_that_ignores_the_phase_is_refused(options: Options) -> None:
    opt = options()
    training, validation_set = create_dataset(opt).dataset, create_dataset(opt, Stage.VALIDATE, "train").dataset
    with pytest.raises(UserError, match=r"--dataset_mode unaligned reads .*png for training and for validation"):
        held_out.require_disjoint(training, validation_set, opt)


def test_a_dataset_that_ignores_the_fraction_is_refused(options: Options) -> None:
    class Old:
        pass

    with pytest.raises(UserError, match=r"must list files with self\.list_images\(folder\)"):
        held_out.require_selection(Old(), options("--val_fraction", "0.2"), Stage.TRAIN)
