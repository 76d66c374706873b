"""Which files count, the report about the others, color profiles in a run, and the version in the key of the cache."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data import cache, create_dataset
from data.fingerprint import fingerprint
from data.formats import color_profile, opening
from data.image_folder import IgnoredFiles, list_images
from tests.conftest import Options, tile, write_tiles
from tests.data.test_loader import load, same, with_workers
from util.errors import UserError

ADOBE = color_profile.from_gamma(1 / 2.2, (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06))


def in_adobe_rgb(*paths: Path) -> None:
    for path in paths:
        Image.open(path).save(path, icc_profile=ADOBE)


@pytest.mark.parametrize("extension", [".jfif", ".jpe", ".JFIF"])
def test_other_extensions_of_jpeg_count(tmp_path: Path, options: Options, extension: str) -> None:
    """As Windows and browsers save them, among pairs."""
    (tmp_path / "pairs/train").mkdir(parents=True)
    for i in range(5):
        kind = ("PNG", ".png") if i < 2 else ("JPEG", extension)
        tile(i, 144, 72).save(tmp_path / f"pairs/train/{i}{kind[1]}", kind[0])
    (tmp_path / "pairs/train/notes.txt").write_text("")
    loader = create_dataset(options("--dataroot", tmp_path / "pairs", "--model", "pix2pix"))
    assert loader.summary() == f"5 pairs in {tmp_path}/pairs/train (1 other files ignored)"
    assert len(list(loader)) == 5


@pytest.mark.parametrize("name", ["@eaDir", "__MACOSX", ".ipynb_checkpoints", ".hidden"])
def test_folders_of_the_system_are_skipped(tmp_path: Path, name: str) -> None:
    write_tiles(tmp_path, 2)
    write_tiles(tmp_path / name, 2)
    write_tiles(tmp_path / "sub" / name / "deeper", 2)
    images, ignored = list_images(tmp_path)
    assert len(images) == 2 and not ignored


@pytest.mark.parametrize("case", ["unaligned", "single", "colorization", "pairs", "side by side", "one side"])
def test_ignored_files_are_named_with_verbose(options: Options, two_domains: Path, tmp_path: Path, case: str) -> None:
    flags: dict[str, tuple[Any, ...]] = {
        "unaligned": (),
        "single": ("--dataset_mode", "single", "--dataroot", two_domains / "trainA"),
        "colorization": ("--model", "colorization", "--phase", "trainA"),
        "pairs": ("--model", "pix2pix"),
        "side by side": ("--model", "pix2pix", "--dataroot", tmp_path / "joined"),
        "one side": ("--model", "pix2pix"),
    }
    write_tiles(tmp_path / "joined" / "train", 3)
    for folder in (two_domains / "trainA", tmp_path / "joined" / "train"):
        (folder / "notes.txt").write_text("")
        (folder / "raw.CR2").write_text("")
    quiet, verbose = (create_dataset(options(*flags[case], *more)).summary() for more in ((), ("--verbose",)))
    assert " (2 other files ignored)" in quiet
    assert "(2 other files ignored: " in verbose and verbose.count("notes.txt") == verbose.count("raw.CR2") == 1


def test_very_many_ignored_files_are_not_all_named() -> None:
    ignored = IgnoredFiles()
    for number in range(2000):
        ignored.add(f"{number}.txt")
    told = ignored.describe(verbose=True)
    assert told.startswith(" (2000 other files ignored: 0.txt, 1.txt, ") and told.endswith("99.txt, ...)")
    assert pickle.loads(pickle.dumps(ignored)) == ignored and IgnoredFiles().describe(True) == ""


@pytest.mark.parametrize("rule", ["extension", "folder", "neither"])
def test_a_refusal_names_the_newer_rule(options: Options, two_domains: Path, rule: str) -> None:
    before = create_dataset(options()).state_dict()
    if rule == "extension":
        tile(1, 40, 36).save(two_domains / "trainA" / "new.jfif", "JPEG")
    elif rule == "folder":
        images = write_tiles(two_domains / "trainA" / "@eaDir", 1)
        before["fingerprint"] |= fingerprint(
            {"trainA": [*images, *create_dataset(options()).dataset.files()["trainA"]]}
        )
    else:
        tile(1, 40, 36).save(two_domains / "trainA" / "new.png")
    with pytest.raises(UserError, match=r"differs from the dataset .* by --force$") as caught:
        create_dataset(options()).load_state_dict(before)
    wanted = {
        "extension": "by newer rules, files ending in .jfif, .jpe, .pnm now count as images (1 here); restore",
        "folder": "by newer rules, folders named @eaDir are now skipped; restore",
        "neither": "; restore",
    }[rule]
    assert wanted in str(caught.value) and ("newer rules" in str(caught.value)) == (rule != "neither")


# Color profiles.


@pytest.mark.parametrize("num_threads", [0, 2])
def test_a_profile_is_noted_once(options: Options, two_domains: Path, num_threads: int) -> None:
    expected, _ = load(options())
    in_adobe_rgb(*(two_domains / "trainA").iterdir())
    batches, said = load(with_workers(options(), num_threads), epochs=2)
    assert said == [
        "note: some images have a color profile other than sRGB (such as gamma 0.4545 of a PNG): read as sRGB; "
        "--icc srgb converts them"
    ]
    assert same(batches[: len(expected)], expected)


@pytest.mark.parametrize("kind", ["none", "ram", "disk"])
def test_profiles_are_converted_on_request(options: Options, two_domains: Path, kind: str) -> None:
    in_adobe_rgb(*(two_domains / "trainA").iterdir())
    ignored, _ = load(options("--cache", kind))
    converted, said = load(options("--cache", kind, "--icc", "srgb"))
    assert said == [
        "note: some images have a color profile other than sRGB (such as gamma 0.4545 of a PNG): converted to sRGB"
    ]
    assert all(not np.allclose(one["A"], other["A"]) for one, other in zip(ignored, converted, strict=True))
    assert same([{"B": batch["B"]} for batch in ignored], [{"B": batch["B"]} for batch in converted])
    assert same(load(options("--cache", kind))[0], ignored)
    assert same(load(options("--icc", "srgb"))[0], converted)


# The cache's key.


def test_a_key_changes_with_the_readers(two_domains: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted((two_domains / "trainA").iterdir())[:1]
    before = cache.make_key(paths, "settings")
    assert cache.make_key(paths, "settings") == before
    monkeypatch.setattr(cache, "READER_VERSION", opening.READER_VERSION + 1)
    assert cache.make_key(paths, "settings") != before
