"""scripts/benchmark.py --sections gpu, on a CPU: fair comparisons, and figures that are correct."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts import benchmark
from scripts.benchmarks import device_time, gpu_steps, peaks
from scripts.benchmarks.plain import PlainCycleGAN
from scripts.benchmarks.workers import Plan, WorkerFailed
from tests.conftest import Options


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
    note = f"note: {names[3]} has no figures: step: failed with exit code 1, see above\n"
    assert capsys.readouterr().out == note


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
