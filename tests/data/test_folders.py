"""Listing the images of a folder, and the error messages for folders without images."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from data import create_dataset
from data.fingerprint import difference, fingerprint
from data.image_folder import ImageFiles, list_images
from tests.conftest import Options, write_tiles
from util.errors import UserError


def found(folder: Path, limit: int | None = None) -> list[str]:
    return [str(path.relative_to(folder)) for path in list_images(folder, limit)[0]]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_images_are_listed_by_name_from_every_depth(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.JPG", "sub/c.webp", "sub/deeper/d.TIFF", "a.bmp")
    assert found(tmp_path) == ["a.JPG", "a.bmp", "b.png", "sub/c.webp", "sub/deeper/d.TIFF"]


def test_the_order_is_that_of_paths_folder_by_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "a-b/x.png", "a/z.png", "a/b/c.png", "a/b.png", "ab.png", "É/ü.png", "a b/1.png")
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")  # no UTF-8
    images, _ = list_images(tmp_path)
    assert list(images) == sorted(path for path in tmp_path.rglob("*.png"))
    assert len(images) == 9 and images[-1] == list(images)[8] and images[2:4] == list(images)[2:4]
    assert [str(path) for path in images] == list(ImageFiles([str(path) for path in images]).names())
    assert list(pickle.loads(pickle.dumps(images))) == list(images)
    with pytest.raises(IndexError):
        images[9]


def test_a_limit_takes_the_first(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a.png", "sub/c.png")
    assert found(tmp_path, 2) == ["a.png", "b.png"]
    assert found(tmp_path, 9) == ["a.png", "b.png", "sub/c.png"]


def test_other_files_are_counted_by_extension(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "notes.txt", "more.TXT", "README", "x.png.part", "movie.mp4")
    images, ignored = list_images(tmp_path)
    assert [path.name for path in images] == ["a.png"]
    assert ignored == {".txt": 2, "no extension": 1, ".part": 1, ".mp4": 1}


def test_hidden_files_and_folders_are_skipped(tmp_path: Path) -> None:
    touch(tmp_path, "a.png", "._a.png", ".DS_Store", ".ipynb_checkpoints/a-checkpoint.png", "__MACOSX/._a.png")
    images, ignored = list_images(tmp_path)
    assert [path.name for path in images] == ["a.png"] and not ignored


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.png", "elsewhere/b.png", "elsewhere/deeper/c.png")
    (tmp_path / "images" / "loop").symlink_to(tmp_path / "images")
    (tmp_path / "images" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "twice").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "images" / "file.png").symlink_to(tmp_path / "elsewhere" / "b.png")
    assert found(tmp_path / "images") == ["a.png", "file.png", "linked/b.png", "linked/deeper/c.png"]


def test_a_folder_without_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path} contains no image: expected files ending in \.png, \.jpg"):
        list_images(tmp_path)
    touch(tmp_path, "a.txt", "b.mp4")
    with pytest.raises(UserError, match="contains no image among its 2 files"):
        list_images(tmp_path)


# Error messages for a wrong --dataroot.


def complaint(options: Options, dataroot: Path, *flags: object) -> str:
    with pytest.raises(UserError) as caught:
        create_dataset(options("--dataroot", dataroot, *flags))
    return str(caught.value)


def test_a_dataroot_that_is_missing(options: Options, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert complaint(options, nowhere) == (
        f"--dataroot {nowhere} does not exist: expected {nowhere}/trainA and {nowhere}/trainB"
    )
    assert complaint(options, nowhere, "--dataset_mode", "single") == (
        f"--dataroot {nowhere} is not a folder: expected a folder of images"
    )


def test_a_dataroot_that_is_a_file(options: Options, two_domains: Path) -> None:
    file = two_domains / "trainA" / "00.png"
    assert complaint(options, file) == f"--dataroot {file} is a file: expected a folder that contains trainA and trainB"


def test_a_dataroot_that_is_empty(options: Options, tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    assert complaint(options, empty) == (
        f"--dataroot {empty} contains nothing: expected trainA and trainB in it (see --phase)"
    )


def test_a_dataroot_that_holds_images(options: Options, tmp_path: Path) -> None:
    write_tiles(images := tmp_path / "flat", 1)
    assert complaint(options, images).startswith(
        f"--dataroot {images} contains images directly: put them into {images}/trainA and {images}/trainB"
    )


@pytest.mark.parametrize("given", ["tiles/trainA", "tiles/testB/", ".", "tile", "Tiles", "missing/../tile"])
def test_a_dataroot_near_the_right_one(
    given: str, options: Options, two_domains: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiles(tmp_path / "missing", 1)
    monkeypatch.chdir(tmp_path)
    match = re.search(r": use --dataroot (\S+)$", complaint(options, Path(given)))
    assert match and Path(match[1]).resolve() == two_domains


@pytest.mark.parametrize("given", ["pairs/train", "trainA"])
def test_a_dataroot_near_the_right_one_for_pairs(
    given: str, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiles(tmp_path / "pairs" / "train", 1)
    write_tiles(tmp_path / "pairs" / "trainA", 1)
    monkeypatch.chdir(tmp_path / ("pairs" if given == "trainA" else ""))
    message = complaint(options, Path(given), "--dataset_mode", "aligned")
    match = re.search(r": use --dataroot (\S+)$", message)
    assert match and Path(match[1]).resolve() == tmp_path / "pairs"


def test_folders_in_another_case(options: Options, tmp_path: Path) -> None:
    for name in ("train_a", "TrainB"):
        write_tiles(tmp_path / "other" / name, 1)
    assert complaint(options, tmp_path / "other") == (
        f"--dataroot {tmp_path / 'other'} contains TrainB and train_a: rename them to trainA and trainB"
    )


def test_a_dataroot_with_folders_within_folders(options: Options, tmp_path: Path) -> None:
    for name in "AB":
        write_tiles(tmp_path / "nested" / "train" / name, 1)
    assert complaint(options, tmp_path / "nested") == (
        f"--dataroot {tmp_path / 'nested'} contains train/A and train/B: rename them to trainA and trainB"
    )


def test_a_dataroot_without_one_of_two_folders(options: Options, two_domains: Path) -> None:
    (two_domains / "trainB").rename(two_domains / "trainC")
    assert complaint(options, two_domains) == (
        f"--dataroot {two_domains} contains testA, testB, trainA, trainC: expected trainA and trainB in it "
        "(see --phase)"
    )


def test_a_dataroot_with_an_empty_domain(options: Options, two_domains: Path) -> None:
    for path in (two_domains / "trainB").iterdir():
        path.unlink()
    assert complaint(options, two_domains).startswith(
        f"{two_domains / 'trainB'} contains no image: expected files ending"
    )


def test_another_phase(options: Options, two_domains: Path) -> None:
    assert "expected valA and valB in it" in complaint(options, two_domains, "--phase", "val")
    assert len(create_dataset(options("--phase", "test"))) == 3


def test_the_summary_counts_images_and_others(options: Options, two_domains: Path) -> None:
    touch(two_domains, "trainB/a.txt", "trainB/b")
    a, b = two_domains / "trainA", two_domains / "trainB"
    assert create_dataset(options()).summary() == f"6 images in {a}, 4 images in {b} (2 other files ignored)"
    limited = create_dataset(options("--max_dataset_size", 3))
    assert limited.summary().startswith(f"3 images in {a}, 3 images in {b}") and len(limited) == 3


def test_the_error_for_a_folder_that_cannot_be_listed_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiles(tmp_path / "locked", 1)
    scandir = os.scandir

    def locked(path: Any) -> Any:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(UserError, match=r"locked can't be listed \(Permission denied\): make it readable"):
        list_images(tmp_path)


def test_a_file_is_identified_by_its_path_below_the_common_folder(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        for name in ("a/x.png", "a/y.png", "b/x.png"):
            (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / name).write_bytes(name.encode())
    paths = [tmp_path / "here" / name for name in ("a/x.png", "a/y.png", "b/x.png")]
    here = fingerprint({"images": paths})
    assert here["images"]["files"] == 3 and here["images"]["bytes"] == 21
    assert fingerprint({"images": [Path(str(path).replace("here", "there")) for path in paths]}) == here
    assert difference(here, fingerprint({"images": paths[::-1]})) == (
        "the names, sizes or order of images in images have changed"
    )
    paths[0].unlink()
    gone = fingerprint({"images": paths})
    assert difference(here, gone) == ("images had 3 images with 21 bytes in total, and now has 3 with 14 bytes")
    assert difference(here, {}) == "images no longer exists" and difference({}, here) == "images is new"
    assert fingerprint({"images": []})["images"]["files"] == 0


def test_a_fingerprint_is_the_hash_of_names_and_sizes_in_order(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/{number:04}.png" for folder in "ab" for number in range(1500)))
    (tmp_path / "b" / "0700.png").write_bytes(b"123")
    images, _ = list_images(tmp_path)
    lines = [f"/{path.relative_to(tmp_path)}\0{path.stat().st_size}\n" for path in images]
    expected = {"files": 3000, "bytes": 3, "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}
    assert fingerprint({"images": images}) == fingerprint({"images": list(images)}) == {"images": expected}
