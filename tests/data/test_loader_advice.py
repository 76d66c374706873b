"""The measurement of how long training waits for its images, and the advice that follows from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from data import create_dataset
from data.base_dataset import BaseDataset
from data.loader_advice import Conditions, Images, advise, sample_images
from data.wait_meter import WaitMeter
from tests.conftest import Options, tile

SEQUENCE = list(range(200))


class Clock:
    """A clock that the test sets, and a device that works for a given time, in parallel with the program."""

    def __init__(self, loading: float, own: float, device: float | None = 0.0) -> None:
        """Seconds to load a batch, of the program's own part of a step, and of the device's; None: never done."""
        self.now, self.loading, self.own, self.device = 0.0, loading, own, device
        self.calls: list[str] = []

    def begin(self) -> None:
        self.calls.append("begin")

    def end(self) -> None:
        self.calls.append("end")

    def seconds(self) -> float | None:
        return self.device

    def batches(self, count: int) -> Iterator[int]:
        for number in SEQUENCE[:count]:
            self.now += self.loading
            yield number

    def train(self, meter: WaitMeter, count: int) -> list[int]:
        seen = []
        for batch in meter.measure(self.batches(count)):
            self.now += self.own
            seen.append(batch)
        return seen


def measure(clock: Clock, *epochs: int) -> list[tuple[float, float]]:
    reports: list[tuple[float, float]] = []
    meter = WaitMeter(clock, lambda waiting, step: reports.append((waiting, step)), lambda: clock.now)
    for count in epochs:
        assert clock.train(meter, count) == SEQUENCE[:count]
    return reports


@pytest.mark.parametrize(
    ("loading", "own", "device", "waiting", "step"),
    [
        (0.75, 0.25, 0.0, 0.75, 0.25),  # a CPU, or a device that is done at once
        (0.75, 0.25, 0.5, 0.5, 0.5),  # the device computes during a part of the wait
        (0.25, 0.125, None, 0.0, 0.375),  # it still computes when the batch arrives
        (0.0, 0.5, 0.25, 0.0, 0.5),  # batches are loaded in advance
    ],
)
def test_waiting_is_time_in_which_neither_program_nor_device_computes(
    loading: float, own: float, device: float | None, waiting: float, step: float
) -> None:
    assert measure(Clock(loading, own, device), 60) == [(waiting, step)]


def test_it_is_reported_once_after_fifty_steps_of_any_number_of_epochs() -> None:
    assert measure(Clock(1, 1), 50) == []  # 49 waits for a next batch
    assert measure(Clock(1, 1), 51) == [(1, 1)]
    assert measure(Clock(1, 1), 200, 200) == [(1, 1)]
    assert measure(Clock(1, 1), *[11] * 4) == []
    assert measure(Clock(1, 1), *[11] * 6) == [(1, 1)]


def test_the_first_steps_do_not_count() -> None:
    clock, reports = Clock(0, 100), []
    meter = WaitMeter(clock, lambda *means: reports.append(means), lambda: clock.now)
    for number in meter.measure(clock.batches(60)):
        clock.now += 100 if number < WaitMeter.SKIPPED else 1
        clock.loading = 0 if number < WaitMeter.SKIPPED else 3
    assert reports == [(3, 1)]


def test_the_device_is_not_asked_after_the_report() -> None:
    clock = Clock(1, 1)
    measure(clock, 200)
    assert clock.calls == ["begin", "end"] * 50


SMALL = Images(scaled_bytes=2_000_000_000, are_large_jpegs=False)
LARGE = replace(SMALL, are_large_jpegs=True)
SLOW = Conditions(waiting=0.03, step=0.02, workers=4, cores=16, memory=8_000_000_000, images=SMALL)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        # 4 workers are busy for 4 * 0.05 s with a batch, so a batch every 0.02 s takes 10 of them.
        ({}, "60% of the time: use --num_threads 10 (now 4, with 16 cores)"),
        ({"workers": 0}, "60% of the time: use --num_threads 2 (now 0, with 16 cores)"),
        ({"waiting": 0.002}, ""),  # 9%
        (
            {"cores": 8},
            "60% of the time, and 10 loader workers would be needed on 8 cores: use --cache ram, which decodes images "
            "in the first epoch only (about 2.0 GB of memory)",
        ),
        (
            {"cores": 8, "memory": 1_000_000_000, "images": LARGE},
            "60% of the time, and 10 loader workers would be needed on 8 cores: use --cache disk, which decodes images "
            "once (about 2.0 GB on disk), or --fast_decode, which changes pixels slightly",
        ),
        (
            {"cores": 0, "images": LARGE},
            "60% of the time, and all cores are in use: use --cache ram, which decodes images in the first epoch only "
            "(about 2.0 GB of memory), or --fast_decode, which changes pixels slightly",
        ),
        (
            {"cores": 8, "images": Images(0, are_large_jpegs=False)},
            "60% of the time, and 10 loader workers would be needed on 8 cores: use --num_threads 8",
        ),
        ({"cores": 4, "images": Images(0, are_large_jpegs=False)}, ""),
    ],
)
def test_advice(changed: dict[str, object], expected: str) -> None:
    found = advise(replace(SLOW, **changed))  # type: ignore[arg-type]
    assert found == (f"note: training waits for images {expected}" if expected else "")


def sampled(options: Options, *flags: object) -> Images:
    dataset = create_dataset(options(*flags)).dataset
    assert isinstance(dataset, BaseDataset)
    return sample_images(dataset)


def test_the_sample_estimates_the_cache(options: Options, two_domains: Path) -> None:
    # 6 and 4 images of 40x36 pixels, all scaled to 32x32.
    assert sampled(options) == Images(10 * 32 * 32 * 3, are_large_jpegs=False)
    assert sampled(options, "--preprocess", "crop").scaled_bytes == 10 * 40 * 36 * 3
    for path in (two_domains / "trainA").iterdir():
        path.write_bytes(b"not an image")
    assert sampled(options).scaled_bytes == 4 * 32 * 32 * 3


def test_the_sample_finds_large_jpegs(options: Options, two_domains: Path) -> None:
    for folder in ("trainA", "trainB"):
        for path in list((two_domains / folder).iterdir()):
            Image.open(path).resize((64, 66)).save(path.with_suffix(".jpg"))
            path.unlink()
    assert sampled(options).are_large_jpegs
    assert not sampled(options, "--load_size", 33).are_large_jpegs
    assert not sampled(options, "--fast_decode").are_large_jpegs
    assert not sampled(options, "--preprocess", "crop").are_large_jpegs


def test_pairs_in_one_file_are_scaled_separately(options: Options, tmp_path: Path) -> None:
    (tmp_path / "joined" / "train").mkdir(parents=True)
    tile(0, 80, 40).save(tmp_path / "joined" / "train" / "0.png")
    flags = ("--model", "pix2pix", "--netG", "resnet_6blocks", "--dataroot", tmp_path / "joined")
    assert sampled(options, *flags).scaled_bytes == 2 * 32 * 32 * 3


def test_a_loader_prints_advice_once(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    printed: list[str] = []
    for flags in ((), ("--cache", "ram")):
        loader = create_dataset(options(*flags))
        loader.print_message = printed.append
        loader.advise_if_slow()
        for epoch in range(1, 12):
            loader.set_epoch(epoch)
            assert len(list(loader)) == 6
        assert (loader.wait_meter is None) == bool(flags)
    (line,) = printed  # the program does nothing but wait, and only without a cache
    assert "all cores are in use: use --cache ram, which decodes images in the first epoch only (about 0.0 GB" in line
