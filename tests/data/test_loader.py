"""Batches: their order, their content, workers, resuming, and unreadable images."""

from __future__ import annotations

import argparse
import copy
import gc
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from data import create_dataset
from data.loader import Loader
from data.sampler import EpochBatches
from options import TrainOptions
from tests.conftest import Options, write_tiles
from util.errors import UserError

Batch = dict[str, Any]


def load(opt: argparse.Namespace, epochs: int = 1) -> tuple[list[Batch], list[str]]:
    """The batches of some epochs, and the messages of the loader."""
    loader, printed = create_dataset(opt), []
    loader.print_message = printed.append
    batches = []
    for epoch in range(1, epochs + 1):
        loader.set_epoch(epoch)
        batches += list(loader)
    return batches, printed


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a) for a, b in zip(one, other, strict=True)
    )


def names(batches: list[Batch], domain: str = "A") -> list[str]:
    return [Path(path).name for batch in batches for path in batch[f"{domain}_paths"]]


def for_testing(opt: argparse.Namespace, **changed: Any) -> argparse.Namespace:
    """The options of a test on the same data."""
    return argparse.Namespace(**vars(opt) | {"is_train": False, "phase": "test"} | changed)


ROOT = Path(__file__).resolve().parents[2]


def spoil(*paths: Path) -> None:
    for path in paths:
        path.write_bytes(path.read_bytes()[:100])


# Order.


def test_a_batch_has_images_and_their_files(options: Options, two_domains: Path) -> None:
    batches, printed = load(options("--batch_size", 4))
    assert [len(batch["A_paths"]) for batch in batches] == [4, 2]  # the last one has the remaining images
    for batch in batches:
        assert set(batch) == {"A", "B", "A_paths", "B_paths"}
        for domain in "AB":
            assert batch[domain].shape == (len(batch["A_paths"]), 3, 32, 32)
            assert batch[domain].dtype == torch.float32
            assert all(Path(path).parent == two_domains / f"train{domain}" for path in batch[f"{domain}_paths"])
    assert not printed


def test_an_epoch_is_as_long_as_the_longer_folder(options: Options) -> None:
    batches, _ = load(options())
    assert len(create_dataset(options())) == len(batches) == 6
    assert sorted(names(batches)) == [f"{i:02}.png" for i in range(6)]
    swapped, _ = load(options("--direction", "BtoA"))
    assert names(swapped) == names(batches)


def test_the_shorter_folder_is_repeated(options: Options, two_domains: Path) -> None:
    for path in sorted((two_domains / "trainA").iterdir())[2:]:
        path.unlink()
    batches, _ = load(options())
    assert len(batches) == 4
    assert Counter(names(batches)) == {"00.png": 2, "01.png": 2}


def test_b_is_drawn_at_random_or_taken_in_order(options: Options) -> None:
    drawn = names(load(options(), epochs=10)[0], "B")
    counts = Counter(drawn)
    assert set(counts) == {"00.png", "01.png", "02.png", "03.png"} and all(6 <= n <= 24 for n in counts.values())
    batches, _ = load(options("--serial_batches"))
    assert names(batches, "A") == ["00.png", "01.png", "02.png", "03.png", "04.png", "05.png"]
    assert names(batches, "B") == ["00.png", "01.png", "02.png", "03.png", "00.png", "01.png"]


def test_the_order_follows_seed_and_epoch(options: Options) -> None:
    first, _ = load(options("--load_size", 64), epochs=2)
    again, _ = load(options("--load_size", 64), epochs=2)
    other, _ = load(options("--load_size", 64, "--seed", 2), epochs=2)
    assert same(first, again)
    assert names(first) != names(other)
    assert names(first[:6]) != names(first[6:])
    assert sorted(names(first[:6])) == sorted(names(first[6:]))
    assert not any(torch.equal(a["A"], b["A"]) for a in first[:6] for b in first[6:])  # other crops too


def test_neighbouring_seeds_do_not_share_epochs() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        batches = EpochBatches(50, 1, shuffle=True, seed=seed)
        batches.epoch = epoch
        return [index for ((_, index),) in batches]

    orders = {tuple(order(seed, epoch)) for seed in (0, 1, 2, 2**31 - 1) for epoch in range(1, 9)}
    assert len(orders) == 32
    assert all(sorted(order) == list(range(50)) for order in orders)


@pytest.mark.parametrize("start", [2, 4, 6])
def test_an_epoch_can_be_resumed_in_the_middle(options: Options, start: int) -> None:
    opt = options("--batch_size", 2)
    whole, _ = load(opt)
    loader = create_dataset(opt)
    loader.set_epoch(1, start=start)
    assert len(loader.batches) == (6 - start) // 2
    assert same(list(loader), whole[start // 2 :])


def test_the_global_random_state_is_neither_used_nor_changed(options: Options) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first, _ = load(options())
    state = torch.get_rng_state()
    torch.manual_seed(2)
    np.random.seed(2)
    assert same(first, load(options())[0])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


# Workers.


@pytest.fixture
def spoiled(options: Options, two_domains: Path) -> argparse.Namespace:
    """Options for a dataset with unreadable images, a transparent one, and a shorter folder."""
    spoil(two_domains / "trainA" / "02.png", two_domains / "trainB" / "01.png")
    Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(two_domains / "trainA" / "04.png")
    return options("--batch_size", 2)


@pytest.fixture
def spawn() -> Iterator[None]:
    """Workers are started as on macOS and Windows."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


def with_workers(opt: argparse.Namespace, num_threads: int) -> argparse.Namespace:
    changed = copy.copy(opt)
    changed.num_threads = num_threads
    return changed


@pytest.mark.parametrize("num_threads", [1, 2])
def test_workers_change_nothing(spoiled: argparse.Namespace, num_threads: int) -> None:
    expected, messages = load(spoiled, epochs=3)
    batches, printed = load(with_workers(spoiled, num_threads), epochs=3)
    assert same(batches, expected) and len(batches) == 9
    assert printed == messages and len(printed) >= 4


def test_workers_that_are_spawned_change_nothing(spoiled: argparse.Namespace, spawn: None) -> None:
    expected, messages = load(spoiled, epochs=2)
    batches, printed = load(with_workers(spoiled, 1), epochs=2)
    assert same(batches, expected) and printed == messages


def test_an_interrupted_epoch_does_not_affect_the_next(spoiled: argparse.Namespace) -> None:
    loader = create_dataset(with_workers(spoiled, 2))
    loader.print_message = lambda _: None
    for _ in loader:
        break
    loader.set_epoch(2)
    expected, _ = load(spoiled, epochs=2)
    assert same(list(loader), expected[3:])


def test_signals_are_for_the_main_process(spoiled: argparse.Namespace) -> None:
    expected, _ = load(spoiled, epochs=2)
    loader = create_dataset(with_workers(spoiled, 1))
    loader.print_message = lambda _: None
    batches = []
    for epoch in (1, 2):
        loader.set_epoch(epoch)
        for batch in loader:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid or 0, signal.SIGTERM)
                os.kill(worker.pid or 0, signal.SIGINT)
            batches.append(batch)
    assert same(batches, expected)


def test_a_dead_worker_is_replaced_by_the_main_process(spoiled: argparse.Namespace) -> None:
    expected, messages = load(spoiled, epochs=2)
    loader = create_dataset(with_workers(spoiled, 1))
    printed: list[str] = []
    loader.print_message = printed.append
    batches = []
    for epoch in (1, 2):
        loader.set_epoch(epoch)
        for batch in loader:
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
            batches.append(batch)
    assert same(batches, expected)
    died = [message for message in printed if "the main process loads images from now on (DataLoader worker" in message]
    assert len(died) == 1 and [message for message in printed if message not in died] == messages


def test_a_program_that_ends_within_an_epoch_leaves_no_worker(two_domains: Path) -> None:
    program = (
        "from options import TrainOptions; from data import create_dataset; import multiprocessing\n"
        f"opt = TrainOptions().parse(['--dataroot', {str(two_domains)!r}, '--num_threads', '1'])\n"
        "batches = iter(create_dataset(opt)); next(batches)\n"
        "print(*(worker.pid for worker in multiprocessing.active_children()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    (worker,) = map(int, done.stdout.split())
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_a_loader_that_the_garbage_collector_deletes_ends_its_workers_at_once(two_domains: Path) -> None:
    """Within a reference cycle, torch's own end of workers takes 10 seconds for each."""
    opt = TrainOptions().parse(["--dataroot", str(two_domains), "--num_threads", "2", "--device", "cpu"])
    loader: Any = create_dataset(opt)
    loader.itself = loader
    batches = iter(loader)
    next(batches)
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    batches.close()
    del batches, loader
    start = time.monotonic()
    gc.collect()
    assert time.monotonic() - start < 5
    assert not any(worker.is_alive() for worker in workers)


# Resuming.


def test_resuming_within_an_epoch_gives_its_rest_and_the_whole_count(spoiled: argparse.Namespace) -> None:
    expected, messages = load(spoiled, epochs=1)
    loader = create_dataset(spoiled)
    loader.print_message = lambda _: None
    loader.set_epoch(1)
    for count, _ in enumerate(loader, start=1):
        if count == 2:
            break
    resumed, printed = create_dataset(with_workers(spoiled, 1)), []
    resumed.print_message = printed.append
    resumed.load_state_dict(loader.state_dict())
    resumed.set_epoch(1, start=2 * spoiled.batch_size)
    assert same(list(resumed), expected[2:])
    assert printed[-1] == messages[-1] and printed[-1].startswith("unreadable files: ")


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "grown"])
def test_resuming_with_a_changed_dataset_is_an_error_unless_forced(
    options: Options, two_domains: Path, change: str
) -> None:
    before = create_dataset(options()).state_dict()
    file = two_domains / "trainB" / "02.png"
    if change == "added":
        shutil.copy(file, file.with_name("new.png"))
    elif change == "removed":
        file.unlink()
    elif change == "renamed":
        file.rename(file.with_name("022.png"))
    else:
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(
        UserError, match=r"differs from the dataset that the run was trained on: .*trainB.* by --force$"
    ):
        create_dataset(options()).load_state_dict(before)
    forced = options()
    forced.force = True
    create_dataset(forced).load_state_dict(before)


def test_a_dataset_that_has_moved_is_the_same(options: Options, two_domains: Path) -> None:
    before = create_dataset(options()).state_dict()
    moved = two_domains.rename(two_domains.with_name("elsewhere"))
    create_dataset(options("--dataroot", moved)).load_state_dict(before)


# Unreadable images.


def test_an_unreadable_image_is_replaced_printed_once_and_counted(options: Options, two_domains: Path) -> None:
    opt = options("--serial_batches")
    unreadable = two_domains / "trainA" / "02.png"
    good, _ = load(opt)
    spoil(unreadable)
    batches, printed = load(opt, epochs=2)
    assert len(batches) == 12
    assert "02.png" not in names(batches)
    assert [batch for i, batch in enumerate(good) if i != 2 and not same([batch], [batches[i]])] == []
    assert printed[0].startswith(f"skipped unreadable image {unreadable}: can't be decoded (")
    count = "unreadable files: 1; images drawn in their place: 1"
    assert printed[1:] == [count, count]
    assert same(batches, load(opt, epochs=2)[0])  # the draw in its place follows the seed


def test_an_unreadable_image_is_an_error_on_request(options: Options, two_domains: Path) -> None:
    spoil(two_domains / "trainB" / "03.png")
    with pytest.raises(UserError, match=r"trainB/03\.png: can't be decoded .*--on_bad_image skip continues without it"):
        load(options("--on_bad_image", "error"), epochs=3)


def test_no_readable_image_is_an_error(options: Options, two_domains: Path) -> None:
    spoil(*(two_domains / "trainA").iterdir())
    with pytest.raises(UserError, match=r"20 images in a row of \S+tiles can't be read: \S+trainA/\d\d\.png: "):
        load(options())


@pytest.mark.parametrize("num_threads", [0, 1])
def test_in_testing_unreadable_images_are_skipped(options: Options, two_domains: Path, num_threads: int) -> None:
    spoil(two_domains / "testA" / "01.png")
    for name in ("01.png",):
        (two_domains / "testB" / name).unlink()
    opt = with_workers(for_testing(options()), num_threads)
    batches, printed = load(opt)
    assert names(batches) == ["00.png", "00.png", "02.png"]  # for the second image of testB
    assert names(batches, "B") == ["00.png", "02.png", "00.png"]  # two images, repeated
    assert printed[1:] == ["unreadable files: 1; samples skipped: 0"]


def test_in_testing_an_unreadable_image_does_not_take_the_other_domain_with_it(
    options: Options, two_domains: Path
) -> None:
    write_tiles(two_domains / "testA", 4)
    spoil(two_domains / "testA" / "01.png")
    spoil(two_domains / "testA" / "03.png")  # beyond the end of testB
    spoil(two_domains / "testB" / "00.png")
    batches, printed = load(for_testing(options()))
    assert set(names(batches)) == {"00.png", "02.png"} and set(names(batches, "B")) == {"01.png", "02.png"}
    assert printed[-1] == "unreadable files: 3; samples skipped: 1"
    for domain, count in (("A", 2), ("B", 2)):  # each is scored once, if its pair is readable
        other = "B" if domain == "A" else "A"
        truths = ((batch[f"{domain}_paths"][0], batch[f"{other}_truth"][0]) for batch in batches)
        scored = [path for path, truth in truths if truth is not None]
        assert len(scored) == len(set(scored)) < count


@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_in_testing_no_readable_image_is_an_error(options: Options, two_domains: Path, batch_size: int) -> None:
    spoil(two_domains / "testA" / "00.png")
    for name in ("01.png", "02.png"):
        (two_domains / "testA" / name).unlink()  # the remaining one is paired with each of testB
    with pytest.raises(UserError, match=r"no image of \S+tiles can be read: \S+testA/00\.png: "):
        load(for_testing(options(), batch_size=batch_size))


def test_transparency_is_printed_once(options: Options, two_domains: Path) -> None:
    for name in ("00.png", "01.png"):
        Image.new("RGBA", (40, 40), (255, 0, 0, 100)).save(two_domains / "trainA" / name)
    _, printed = load(options(), epochs=2)
    assert printed == ["some images are transparent: they are composited over white"]
    dataset = create_dataset(options()).dataset
    assert [dataset[(1, index)]["transparent"] for index in range(4)] == [True, True, False, False]


def test_images_of_unequal_size_need_a_batch_of_one(options: Options, two_domains: Path) -> None:
    Image.new("RGB", (80, 60)).save(two_domains / "trainA" / "00.png")
    assert len(load(options("--preprocess", "none"))[0]) == 6
    opt = options("--preprocess", "none", "--batch_size", 6)
    with pytest.raises(
        UserError, match=r"^--batch_size 6 needs images of one size, but a batch has .*80x60.*--preprocess none"
    ):
        load(opt)


# Testing.


def test_in_testing_batches_are_split_where_the_size_changes(options: Options, two_domains: Path) -> None:
    Image.new("RGB", (80, 60)).save(two_domains / "testA" / "01.png")
    opt = for_testing(options("--preprocess", "none"), batch_size=3)
    batches, printed = load(opt)
    assert [batch["A"].shape[0] for batch in batches] == [1, 1, 1] and not printed
    (two_domains / "testA" / "01.png").rename(two_domains / "testA" / "03.png")
    batches, _ = load(opt)
    assert [tuple(batch["A"].shape) for batch in batches] == [(2, 3, 36, 40), (1, 3, 60, 80)]
    assert names(batches) == ["00.png", "02.png", "03.png"]
    single, _ = load(argparse.Namespace(**vars(opt) | {"batch_size": 1}))
    assert names(single) == names(batches)
    assert torch.equal(torch.cat([batch["A"] for batch in single[:2]]), batches[0]["A"])


@pytest.mark.parametrize("domain", ["A", "B"])
def test_one_domain_alone_has_the_truth_of_the_other(options: Options, two_domains: Path, domain: str) -> None:
    other = "B" if domain == "A" else "A"
    write_tiles(two_domains / f"test{other}", 5)
    both, _ = load(for_testing(options()))
    alone, _ = load(for_testing(options(), translate=domain))
    assert len(both) == 5 and len(alone) == 3
    for one, two in zip(alone, both, strict=False):
        assert set(one) == {domain, f"{domain}_paths", f"{other}_truth"}
        assert all(equal(one[key], two[key]) for key in one)


def test_in_testing_files_come_in_order_without_randomness(options: Options) -> None:
    opt = for_testing(options())
    batches, _ = load(opt, epochs=2)
    assert names(batches) == ["00.png", "01.png", "02.png"] * 2
    assert names(batches, "B") == names(batches)
    assert same(batches[:3], batches[3:])
    assert same(batches[:3], load(for_testing(options("--seed", 5)))[0])


def test_in_testing_the_truth_is_the_image_of_the_same_name(options: Options, two_domains: Path) -> None:
    for folder in ("testA", "testB"):
        write_tiles(two_domains / folder, 10)
    (two_domains / "testB" / "01.png").rename(two_domains / "testB" / "other.png")
    Image.open(two_domains / "testB" / "02.png").convert("RGB").save(two_domains / "testB" / "02.bmp")
    (two_domains / "testB" / "02.png").unlink()
    write_tiles(two_domains / "testA" / "sub", 1)
    batches, _ = load(for_testing(options(), batch_size=2))
    a, b = ([image for batch in batches for image in batch[name]] for name in "AB")
    truth = {name: [image for batch in batches for image in batch[f"{name}_truth"]] for name in "AB"}
    assert names(batches)[:3] == ["00.png", "01.png", "02.png"]
    assert names(batches)[-1] == "00.png"  # in a folder of its own
    assert names(batches, "B")[:3] == ["00.png", "02.bmp", "03.png"] and names(batches, "B")[-2:] == [
        "other.png",
        "00.png",
    ]
    assert torch.equal(truth["B"][0], b[0]) and truth["B"][1] is None and torch.equal(truth["B"][2], b[1])
    assert truth["B"][-1] is None
    assert torch.equal(truth["A"][0], a[0]) and torch.equal(truth["A"][1], a[2])
    assert truth["A"][-2] is None and truth["A"][-1] is None  # the last one is repeated


@pytest.mark.parametrize(("renamed", "is_paired"), [(0, True), (1, True), (2, False)])
def test_names_make_pairs_if_nearly_all_are_equal(
    options: Options, two_domains: Path, renamed: int, is_paired: bool
) -> None:
    write_tiles(two_domains / "testA", 12)
    for path in write_tiles(two_domains / "testB", 10)[:renamed]:
        path.rename(path.with_stem(f"other {path.stem}"))
    loader = create_dataset(for_testing(options()))
    assert [f"{domain}_truth" in batch for batch in loader for domain in "AB"] == [is_paired] * 24
    (note,) = loader.summary().splitlines()[1:]
    assert f"{10 - renamed} of 10 file names occur in both " in note
    assert ("--no_truth" in note) == is_paired and ("are not scored" in note and "note: " in note) == (not is_paired)
    loader = create_dataset(for_testing(options(), no_truth=True))
    assert not any(key.endswith("_truth") for batch in loader for key in batch)
    assert len(loader.summary().splitlines()) == 1


def test_folders_without_a_common_name_need_no_note(options: Options, two_domains: Path) -> None:
    for path in (two_domains / "testB").iterdir():
        path.rename(path.with_stem(f"other {path.stem}"))
    assert len(create_dataset(for_testing(options())).summary().splitlines()) == 1


def test_an_image_of_another_size_is_not_a_truth(options: Options, two_domains: Path) -> None:
    Image.new("RGB", (60, 36)).save(two_domains / "testB" / "01.png")
    batches, _ = load(for_testing(options(), preprocess="none"))
    assert [batch["B_truth"][0] is None for batch in batches] == [False, True, False]
    assert [batch["A_truth"][0] is None for batch in batches] == [False, True, False]


def test_training_has_no_truth(options: Options) -> None:
    assert not any(key.endswith("_truth") for batch in load(options())[0] for key in batch)


def test_channels_follow_the_direction(options: Options) -> None:
    flags = ("--input_nc", 1, "--output_nc", 3, "--lambda_identity", 0)
    forth, _ = load(options(*flags))
    back, _ = load(options(*flags, "--direction", "BtoA"))
    assert (forth[0]["A"].shape[1], forth[0]["B"].shape[1]) == (1, 3)
    assert (back[0]["A"].shape[1], back[0]["B"].shape[1]) == (3, 1)


# The other datasets.


def test_a_single_folder(options: Options, two_domains: Path) -> None:
    opt = for_testing(options(), dataset_mode="single", dataroot=str(two_domains / "testA"), input_nc=1)
    batches, _ = load(opt)
    assert [set(batch) for batch in batches] == [{"A", "A_paths"}] * 3
    assert names(batches) == ["00.png", "01.png", "02.png"]
    assert batches[0]["A"].shape == (1, 1, 32, 32)
    assert create_dataset(opt).summary() == f"3 images in {two_domains / 'testA'}"


def test_the_template_makes_coarse_copies(options: Options, two_domains: Path) -> None:
    opt = options(
        "--model", "template", "--dataset_mode", "template", "--dataroot", two_domains / "trainA", "--coarseness", 8
    )
    batches, _ = load(opt)
    assert len(batches) == 6
    for batch in batches:
        assert batch["A_paths"] == batch["B_paths"]
        blocks = batch["B"].view(1, 3, 4, 8, 4, 8).mean((3, 5))
        torch.testing.assert_close(batch["A"], blocks.repeat_interleave(8, 2).repeat_interleave(8, 3))


def test_a_loader_is_as_long_as_its_images(options: Options) -> None:
    loader = create_dataset(options("--batch_size", 4, "--max_dataset_size", 5))
    assert isinstance(loader, Loader) and len(loader) == 5
    assert len(list(loader)) == 2
    assert loader.summary().startswith("5 images in ")


def test_an_image_that_would_become_enormous_is_skipped(options: Options, two_domains: Path) -> None:
    Image.new("RGB", (1, 60_000)).save(two_domains / "trainA" / "thin.png")
    batches, printed = load(options("--preprocess", "scale_width", "--serial_batches", "--load_size", 64))
    assert len(batches) == 7
    assert any("thin.png: would be resized to 64x" in text for text in printed), printed
