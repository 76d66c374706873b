"""scripts/benchmark.py: it compares the same mathematics, and its figures are correct."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from data.workers import available_cores
from scripts import benchmark
from scripts.benchmarks import inference, processes, profiles, report, worker
from scripts.benchmarks.memory import peak_bytes
from scripts.benchmarks.plain import PlainCycleGAN
from scripts.benchmarks.workers import Plan, Worker
from tests.conftest import Options
from util.errors import UserError

CPU = torch.device("cpu")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--quick", "--device", "cpu", *map(str, arguments)])
    benchmark.main()


def test_quick_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "figures.json"
    run(monkeypatch, "--sections", "step", "--flags=", "--json", file)
    record = json.loads(file.read_text())
    assert record["machine"].keys() >= {"processor", "cores", "threads", "torch", "date", "code"}
    step = record["sections"]["step"]
    assert step.keys() == {"32 px"}
    assert step["32 px"]["ratio"] == pytest.approx(step["32 px"]["plain"] / step["32 px"]["ours"])
    assert step["32 px"]["losses"] <= 1e-4  # the same mathematics and the same weights
    shown = capsys.readouterr().out
    assert f"\n### {benchmark.SECTIONS['step'].title}\n\n| | plain | ours | ratio | losses |\n" in shown


def test_the_loader_is_measured_by_source_and_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "figures.json"
    run(monkeypatch, "--sections", "sources", "--json", file)
    whole, fast = (row := json.loads(file.read_text())["sections"]["sources"]).values()
    assert list(row) == ["640x600", "640x600 --fast_decode"]
    assert whole.keys() == {"MB", *(f"{count} workers" for count in (0, 1, 2, 4, 8, 16) if count <= available_cores())}
    assert fast["ratio"] == pytest.approx(fast["0 workers"] / whole["0 workers"])
    assert 1 < fast["ratio"] < 20  # half as wide and high, which is still at least 286 pixels


@pytest.mark.parametrize("conv", ["direct", "auto", "winograd"])
def test_plain_step_trains_like_the_model(options: Options, conv: str) -> None:
    """The losses of two steps agree, so the weights after the first step agree too, except for rounding."""
    opt = options("--conv", conv, "--pool_size", "0")
    jobs = [worker.PlainStep(opt), worker.Step(opt)]
    for _ in range(2):
        for job in jobs:
            job.run()
        plain, ours = (job.losses() for job in jobs)
        assert plain.keys() == ours.keys()
        assert list(ours.values()) == pytest.approx([plain[name] for name in ours], rel=1e-4)


def test_plain_step_does_not_change_how_memory_is_allocated(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("util.runtime.device.get_device", lambda name: pytest.fail("asked for a device"))
    model = PlainCycleGAN(options())
    losses = model.step(torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32))
    assert losses.keys() == {"G_A", "G_B", "cycle_A", "cycle_B", "idt_A", "idt_B", "D_A", "D_B"}
    assert all(loss.shape == () and not loss.requires_grad for loss in losses.values())


def test_peak_memory_against_arithmetic() -> None:
    kept: list[torch.Tensor] = []
    before = torch.zeros(5000)

    def computation() -> None:
        first = torch.zeros(1000)  # 4,000 bytes
        kept.append(torch.zeros(700))  # excluded
        second = first.double()  # 12,000 with the first: the peak
        del first, second
        before.set_()  # allocated before: freeing it must not count as negative
        torch.zeros(2500)  # 10,000

    assert peak_bytes(computation, lambda: kept, CPU) == 12000
    kept.clear()
    assert peak_bytes(computation, lambda: [], CPU) == 12000 + 2800


def test_peak_of_a_backward_pass_excludes_gradients() -> None:
    weight = torch.ones(1000, requires_grad=True)

    def computation() -> None:
        weight.grad = None
        weight.exp().sum().backward()

    # At the peak, only the result of exp, the sum and its gradient are live: the gradient of the sum is expanded.
    assert peak_bytes(computation, lambda: [weight, weight.grad], CPU) in range(4000, 4200)
    assert peak_bytes(computation, lambda: [weight], CPU) in range(8000, 8200)


def test_path_by_path_steps_need_less_memory(options: Options) -> None:
    opt = options("--conv", "direct", "--pool_size", "0", "--crop_size", "64", "--load_size", "64")
    jobs = [worker.PlainStep(opt), worker.Step(opt)]
    for job in jobs:
        job.run()  # creates the optimizer states
    plain, ours = (worker.COMMANDS["memory"](job)["bytes"] for job in jobs)
    assert plain > 1e6 and ours / plain < 0.5


def test_counted_operations(options: Options) -> None:
    """The operations of one convolution, and of the plain step by its number of passes."""

    class Convolution(worker.PlainForward):
        def __init__(self) -> None:
            self.netG, self.device = torch.nn.Conv2d(3, 5, 3), CPU
            self.real_A = torch.zeros(1, 3, 10, 10)

    assert worker.counted(Convolution()) == {"flop": 2 * 9 * 3 * 5 * 8 * 8}
    step = worker.counted(worker.PlainStep(options()))["flop"]
    forward = worker.counted(worker.PlainForward(options()))["flop"]
    # Six generator passes, forward (1) and backward (2), plus the discriminators.
    assert 17 * forward < step < 30 * forward


def test_kinds_of_operators() -> None:
    assert profiles.kind_of("aten::mkldnn_convolution", []) == "direct convolution"
    assert profiles.kind_of("aten::native_batch_norm_backward", []) == "norms"
    assert profiles.kind_of("mkldnn::_linear_pointwise", [[36, 36], [500, 36]]) == profiles.TRANSFORMS
    assert profiles.kind_of("mkldnn::_linear_pointwise", [[256, 256], [256, 256]]) == profiles.PRODUCTS
    assert profiles.kind_of("aten::mul", []) == profiles.OTHERS
    x = torch.randn(200, 200)
    seconds = profiles.seconds_by_kind(lambda: [x @ x for _ in range(20)])
    assert max(seconds, key=lambda kind: seconds[kind]) == "matrix products"


def test_images_per_second_from_a_log(tmp_path: Path) -> None:
    seconds = [9.0, 10.0, 10.5, 12.0]  # the first steps are slow
    lines = [json.dumps({"images": 2 * (i + 1), "seconds": time}) for i, time in enumerate(seconds)]
    (tmp_path / "losses.jsonl").write_text("\n".join(lines) + "\n")
    assert processes.images_per_second(tmp_path / "losses.jsonl") == (8 - 4) / (12 - 10)


def test_images_per_second_of_the_real_command(tmp_path: Path) -> None:
    processes.write_noise(tmp_path, 32, 2 * processes.STEPS)
    plan = Plan(networks=benchmark.TINY)
    assert processes.train(tmp_path, 32, plan) > 0
    last = (tmp_path / "run" / "losses.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["images"] == 2 * processes.STEPS
    with pytest.raises(UserError, match=r"train\.py .*: failed with exit code 2: error: --ngf: must be at least 1"):
        processes.train(tmp_path, 32, Plan(networks=["--ngf", "0"]))


def test_rates_of_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians of each command, and the ratios of two processes to both kinds of one."""
    rates = {(1, None): [4.0, 5.0, 9.0], (1, 1): [3.0, 2.0, 1.0], (2, None): [7.0, 3.0, 6.0]}
    order: list[tuple[int, int | None]] = []

    def train(root: Path, size: int, plan: Plan, *, processes: int = 1, threads: int | None = None) -> float:
        order.append((processes, threads))
        return rates[processes, threads].pop(0)

    monkeypatch.setattr(processes, "train", train)
    assert processes.measure_processes(Plan(sizes=(32,), repeats=3)) == {
        "32 px batch 2": {"one": 5.0, "one thread": 2.0, "two": 6.0, "ratio": 1.2, "scaling": 3.0}
    }
    assert order == [(1, None), (1, 1), (2, None)] * 3  # in turn


def test_a_process_gets_the_threads_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: list[str | None] = []

    def run(command: list[str], env: dict[str, str], **others: object) -> NoReturn:
        found.append(env.get("OMP_NUM_THREADS"))
        raise UserError("not run")

    monkeypatch.setattr(processes.subprocess, "run", run)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for threads in (None, 1):
        with pytest.raises(UserError, match="not run"):
            processes.train(tmp_path, 32, Plan(), threads=threads)
    assert found == [None, "1"]


def test_an_option_error_names_the_worker() -> None:
    broken = Worker("step", ["--dataroot", "x", "--no_such_flag"])
    with pytest.raises(UserError, match=r"^step --dataroot x --no_such_flag: failed with exit code 2, see above$"):
        broken.ask("time")
    broken.close()


def test_tables() -> None:
    figures = {"256 px": {"plain": 9.8765, "ours": 5.0}, "other": {"ours": 0.01234, "losses": 0.0000123}}
    assert report.table(figures) == (
        "| | plain | ours | losses |\n|---|---:|---:|---:|\n| 256 px | 9.88 | 5 |  |\n| other |  | 0.0123 | 1e-05 |"
    )
    assert [report.number(value) for value in (0, 1234.5, 99.96, -0.5)] == ["0", "1,234", "100", "-0.5"]


def test_goals_table() -> None:
    sections = {"step": {"256 px": {"ratio": 1.7}, "128 px": {"ratio": 1.3}}, "memory": {"256 px": {"ratio": 0.41}}}
    assert report.goals(sections).splitlines()[2:] == [
        "| step at 256 px, batch 1 | at least 1.6 | 1.7 | yes |",
        "| step at 128 px, batch 1 | at least 1.35 | 1.3 | no |",
        "| memory of a step at 256 px | at most 0.42 | 0.41 | yes |",
    ]
    assert report.goals({"step": {"512 px": {"ratio": 2.0}}}) == ""


def test_engines_of_inference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="pip install -r requirements-dev.txt")
    monkeypatch.setattr(inference, "available", lambda: [inference.REFERENCE, "ONNX Runtime"])
    run(monkeypatch, "--sections", "inference", "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["sections"]["inference"]
    assert figures.keys() == {f"32 px {inference.REFERENCE}", "32 px ONNX Runtime"}
    reference, onnx = figures.values()
    assert reference["max difference"] == 0 < onnx["max difference"] < 1e-3
    assert reference["images/s"] > 0 < onnx["images/s"]
    assert onnx["MB"] < reference["MB"]  # without torch


def test_missing_engines_are_noted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert inference.available() == ["eager", inference.REFERENCE, "ONNX Runtime"]
    assert capsys.readouterr().out.splitlines() == [
        "note: torch.compile is not measured, since it needs a C++ compiler",
        "note: OpenVINO is not measured, since it needs pip install openvino",
    ]
