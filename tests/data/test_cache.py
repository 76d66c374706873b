"""The cache changes no image: with any reader, any kind of image, and after failures of the cache."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data import cache as image_cache
from data import create_dataset
from data.cache import DiskCache, ImageCache, RamCache, make_key
from data.formats import image_reader
from data.transforms import Transform
from tests.conftest import Options, tile, write_tiles
from tests.data.test_loader import load, same, spawn, spoil, with_workers  # noqa: F401  # spawn is a fixture
from util.errors import UserError
from util.stage import Stage

KEYS = [hashlib.md5(str(number).encode()).digest() for number in range(4000)]
IMAGE = torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["ram", "disk"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ImageCache:
    return RamCache(10, 100_000) if request.param == "ram" else DiskCache(tmp_path / "cache")


@pytest.fixture
def mixed(two_domains: Path) -> Path:
    """Images of every kind: unreadable, transparent, 16-bit gray, of another size."""
    spoil(two_domains / "trainA" / "02.png", two_domains / "trainB" / "01.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(two_domains / "trainA" / "04.png")
    Image.new("I;16", (60, 44), 40000).save(two_domains / "trainA" / "05.png")
    write_tiles(two_domains / "trainA" / "sub", 2, 70, 50)
    return two_domains


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    decoded: list[str] = []
    read = image_reader.read_image

    def counting(path: Path, channels: int, **settings: Any) -> Tensor:
        decoded.append(path.name)
        return read(path, channels, **settings)

    monkeypatch.setattr(image_reader, "read_image", counting)
    return decoded


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "scale_width", "crop", "none"])
def test_a_cache_changes_nothing(
    options: Options, mixed: Path, tmp_path: Path, kind: str, num_threads: int, preprocess: str
) -> None:
    flags = ("--preprocess", preprocess, "--load_size", 38)
    expected, messages = load(options(*flags), epochs=3)
    opt = options(*flags, "--cache", kind, "--cache_dir", tmp_path / "cache")
    for _ in range(2):  # the second finds the disk's entries
        batches, printed = load(with_workers(opt, num_threads), epochs=3)
        assert same(batches, expected) and printed == messages


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_spawned_workers_share_it(options: Options, mixed: Path, spawn: None, kind: str) -> None:  # noqa: F811
    expected, messages = load(options(), epochs=2)
    batches, printed = load(with_workers(options("--cache", kind), 2), epochs=2)
    assert same(batches, expected) and printed == messages


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_an_image_is_decoded_once(options: Options, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    decoded = count_decoding(monkeypatch)
    load(options("--serial_batches", "--cache", kind), epochs=3)
    assert sorted(decoded) == sorted([f"{i:02}.png" for i in range(6)] + [f"{i:02}.png" for i in range(4)])


def test_workers_share_the_cache(options: Options) -> None:
    loader = create_dataset(with_workers(options("--cache", "ram"), 2))
    for epoch in (1, 2, 3, 4, 5, 6):
        loader.set_epoch(epoch)
        list(loader)
    cache = loader.dataset.cache
    assert cache is not None
    for path in loader.dataset.files()["trainA"]:
        assert cache.get(make_key([path], "3 channels, resize_and_crop load_size 32") or b"") is not None


def test_a_changed_file_is_read_again(options: Options, two_domains: Path) -> None:
    opt = options("--serial_batches", "--cache", "disk")
    before, _ = load(opt)
    write_tiles(two_domains / "trainA", 1, 44, 44)
    after, _ = load(opt)
    assert not torch.equal(before[0]["A"], after[0]["A"]) and same(before[1:], after[1:])
    assert same(after, load(options("--serial_batches"))[0])


@pytest.mark.parametrize("flags", [("--load_size", 40), ("--preprocess", "crop"), ("--output_nc", 1)])
def test_other_options_have_entries_of_their_own(options: Options, flags: tuple[Any, ...]) -> None:
    load(options("--cache", "disk"))
    if "--output_nc" in flags:
        flags = (*flags, "--lambda_identity", 0)
    assert same(load(options(*flags, "--cache", "disk"))[0], load(options(*flags))[0])


def test_the_crop_size_matters_only_where_the_scale_depends_on_it(options: Options) -> None:
    def scaling(*flags: object) -> str:
        return Transform(options("--load_size", 64, *flags), Stage.TRAIN).scaling

    assert scaling("--crop_size", 32) == scaling("--crop_size", 64) != scaling("--load_size", 68)
    for preprocess in ("crop", "scale_width", "scale_width_and_crop"):
        chosen = ("--preprocess", preprocess)
        assert scaling(*chosen, "--crop_size", 32) != scaling(*chosen, "--crop_size", 64)


def test_read_is_cached_and_returns_a_copy(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = create_dataset(options("--cache", "ram")).dataset
    path = dataset.files()["trainA"][0]
    decoded = count_decoding(monkeypatch)
    first = dataset.read(path, 3)
    expected = first.clone()
    first.zero_()
    second = dataset.read(path, 3)
    second.zero_()
    assert torch.equal(dataset.read(path, 3), expected) and len(decoded) == 1


def pairs(root: Path, joined: bool) -> Path:
    """Pairs of every kind: one transparent; in two folders, one with 16-bit gray among colors."""
    for i in range(4):
        sides = [np.asarray(tile(10 * i + side, 40, 36)) for side in (0, 1)]
        if joined:
            picture = Image.fromarray(np.hstack(sides))
            picture.putalpha(100 if i == 2 else 255)
            (root / "train").mkdir(parents=True, exist_ok=True)
            picture.save(root / "train" / f"{i}.png")
        else:
            ids = Image.fromarray((sides[0][:, :, 0] // 64).astype(np.uint8))
            target = Image.new("I;16", (40, 36), 40000) if i == 2 else Image.fromarray(sides[1])
            for folder, image in {"trainA": ids, "trainB": target}.items():
                (root / folder).mkdir(parents=True, exist_ok=True)
                image.save(root / folder / f"{i}.png")
    return root


@pytest.mark.parametrize("kind", ["ram", "disk"])
@pytest.mark.parametrize("case", ["aligned", "aligned with labels", "aligned, gray to color", "colorization"])
def test_pairs_class_ids_and_colorization_are_cached(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, case: str
) -> None:
    root = pairs(tmp_path / "pairs", joined=case != "aligned with labels")
    flags = {
        "aligned": ("--model", "pix2pix"),
        "aligned with labels": ("--model", "pix2pix", "--label_nc", 4),
        "aligned, gray to color": ("--model", "pix2pix", "--input_nc", 1),
        "colorization": ("--model", "colorization"),
    }[case]
    expected, messages = load(options("--dataroot", root, *flags, "--load_size", 38), epochs=3)
    decoded = count_decoding(monkeypatch)
    batches, printed = load(options("--dataroot", root, *flags, "--load_size", 38, "--cache", kind), epochs=3)
    assert same(batches, expected) and printed == messages
    assert len(decoded) == (8 if case == "aligned, gray to color" else 4)  # each image, in each of its forms, once
    assert not messages if case == "aligned with labels" else "transparent" in messages[0]


def test_pairs_of_different_sizes_are_unreadable_in_every_epoch(options: Options, tmp_path: Path) -> None:
    root = pairs(tmp_path / "pairs", joined=False)
    tile(1, 50, 36).save(root / "trainB" / "1.png")
    opt = options("--dataroot", root, "--model", "pix2pix", "--label_nc", 4, "--cache", "ram")
    _, printed = load(opt, epochs=2)
    assert printed[0].startswith(f"skipped unreadable image {root / 'trainB' / '1.png'}: has 50x36 pixels")
    assert len(printed) == 3
    assert all(line.startswith("unreadable files: 1; images drawn in their place: ") for line in printed[1:])


# The cache classes.


@pytest.mark.parametrize("image", [IMAGE, IMAGE.float() / 3, IMAGE.permute(0, 2, 1)[:, 3:]])
def test_entries_are_returned_as_stored(cache: ImageCache, image: Tensor) -> None:
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], image, True)
    cache.put(KEYS[1], image[:1] + 1, False)
    for name, (expected, transparent) in {0: (image, True), 1: (image[:1] + 1, False)}.items():
        found = pickle.loads(pickle.dumps(cache)).get(KEYS[name])
        assert found is not None and torch.equal(found[0], expected) and found[1] is transparent
    assert cache.get(KEYS[2]) is None and not cache.trouble


def test_full_memory_is_reported_and_keeps_its_entries() -> None:
    cache = RamCache(9, 2 * IMAGE.nbytes + 200)
    for key in KEYS[:3]:
        cache.put(key, IMAGE, False)
    assert [cache.get(key) is not None for key in KEYS[:3]] == [True, True, False]
    assert cache.trouble.startswith("note: --cache ram: its memory (0.0 GB at most) is full")


def test_an_incomplete_record_is_ignored() -> None:
    cache = RamCache(9, 100_000)
    cache.put(KEYS[0], IMAGE, False)
    slot = next(cache._slots(KEYS[0]))
    cache._map[slot + 17] ^= 1
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], IMAGE, False)
    found = cache.get(KEYS[0])
    assert found is not None and torch.equal(found[0], IMAGE)


@pytest.mark.parametrize("length", [0, 10, 24, 500, 1819])
def test_an_incomplete_file_is_ignored(tmp_path: Path, length: int) -> None:
    cache = DiskCache(tmp_path)
    cache.put(KEYS[0], IMAGE, False)
    file = cache._file(KEYS[0])
    file.write_bytes(file.read_bytes()[:length])
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], IMAGE, False)
    assert cache.get(KEYS[0]) is not None


def test_the_number_of_mapped_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_cache, "MAX_MAPS", 3)
    cache = DiskCache(tmp_path)
    for number in range(5):
        cache.put(KEYS[number], IMAGE + number, False)
    for number in (0, 1, 2, 3, 4, 4, 0, 3):
        found = cache.get(KEYS[number])
        assert found is not None and torch.equal(found[0], IMAGE + number)
        assert len(cache._maps) <= 3
    shutil.rmtree(tmp_path)
    assert [cache.get(key) is not None for key in KEYS[:5]] == [True, False, False, True, True]


def test_a_full_disk_is_reported_once(options: Options, monkeypatch: pytest.MonkeyPatch, two_domains: Path) -> None:
    expected, _ = load(options(), epochs=2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    batches, printed = load(options("--cache", "disk"), epochs=2)
    folder = two_domains / ".cache"
    assert same(batches, expected) and len(printed) == 1
    assert printed[0].startswith(f"note: --cache disk: {folder} can't store more images (No space left on device)")
    assert not [path for path in folder.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_created_is_reported(options: Options, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    expected, _ = load(options())
    batches, printed = load(options("--cache", "disk", "--cache_dir", tmp_path / "file" / "cache"))
    assert same(batches, expected) and len(printed) == 1 and "(Not a directory)" in printed[0]


def test_the_folder_may_be_deleted_at_any_time(options: Options, two_domains: Path) -> None:
    expected, _ = load(options(), epochs=3)
    loader, batches = create_dataset(options("--cache", "disk")), []
    for epoch in (1, 2, 3):
        loader.set_epoch(epoch)
        for number, batch in enumerate(loader):
            batches.append(batch)
            if number == 2:
                shutil.rmtree(two_domains / ".cache")
    assert same(batches, expected)


def _fill(cache: ImageCache, numbers: range) -> None:
    for number in numbers:
        cache.put(KEYS[number], torch.full((3, 32, 32), number % 256, dtype=torch.uint8), False)


@pytest.mark.parametrize("kind", ["ram", "disk"])
def test_killed_writers_leave_no_incomplete_entry(tmp_path: Path, kind: str) -> None:
    cache = RamCache(4000, 4000 * 3200) if kind == "ram" else DiskCache(tmp_path / "cache")
    context = multiprocessing.get_context("fork")
    for delay in (0.005, 0.01, 0.02):
        writers = [context.Process(target=_fill, args=(cache, range(4000))) for _ in range(2)]
        for writer in writers:
            writer.start()
        time.sleep(delay)
        for writer in writers:
            writer.kill()
            writer.join()
    _fill(cache, range(100))  # no lock remains
    whole = 0
    for number in range(4000):
        entry = cache.get(KEYS[number])
        if entry is not None:
            assert torch.equal(entry[0], torch.full((3, 32, 32), number % 256, dtype=torch.uint8))
            whole += 1
    assert whole >= 100


def test_no_readable_image_is_still_an_error(options: Options, two_domains: Path) -> None:
    spoil(*(two_domains / "trainA").iterdir())
    with pytest.raises(UserError, match=r"20 images in a row"):
        load(argparse.Namespace(**vars(options("--cache", "ram"))))
