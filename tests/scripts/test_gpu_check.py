"""scripts/gpu_check.py on a CPU: its checks pass there, and find what is wrong."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch._dynamo

from scripts import gpu_check
from scripts.gpu_checks import graphs, resuming, training, translating
from scripts.gpu_checks.checks import Check, all_checks
from scripts.gpu_checks.graphs import graph_check
from scripts.gpu_checks.resuming import resume_check
from scripts.gpu_checks.setting import CheckFailed, Setting, largest_difference
from scripts.gpu_checks.training import step_check
from scripts.gpu_checks.translating import translation_check
from util.errors import UserError

TINY = ("--netG", "resnet_6blocks")


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(torch.device("cpu"), 32, 4, tmp_path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--device", "cpu", "--size", "32", "--ngf", "4", *arguments])
    return gpu_check.main()


def test_checks_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--only", "step bf16, channels", "translation bf16") == 0
    title, *lines, end = capsys.readouterr().out.splitlines()
    assert title == f"torch {torch.__version__}, cpu" and end.startswith(
        f"{len(lines)} of {len(lines)} checks passed in "
    )
    assert lines[0].startswith("OK   step bf16, channels last: first losses within ") and " ms a step [" in lines[0]
    assert lines[-1].startswith("OK   translation bf16: differs from the CPU by at most ")


def test_a_failed_check_is_shown_and_the_others_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(training.TOLERANCES, "bf16", 1e-9)
    monkeypatch.setitem(translating.TOLERANCES, "bf16", (1e-9, 1))
    assert run(monkeypatch, "--only", "step bf16, channels", "translation bf16", "translation fp32") == 1
    printed = capsys.readouterr().out
    assert "FAIL step bf16, channels last: CheckFailed: the first losses differ from those of the CPU by " in printed
    assert "FAIL translation bf16: CheckFailed: differs from the CPU by at most " in printed
    assert "OK   translation fp32: " in printed and "translation bf16" in printed.splitlines()[-1]


def test_a_name_of_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^--only graphs: there are no such checks for --device cpu$"):
        run(monkeypatch, "--only", "graphs")


@pytest.mark.parametrize("only", [[], ["--only", "resume"]])
def test_what_to_change_when_all_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], only: list[str]
) -> None:
    """The checks of graphs, which only a GPU runs, have to be among them."""
    checks = [Check("resume", lambda setting: "done"), Check("graphs", lambda setting: "done", needs_gpu=True)]
    monkeypatch.setattr("scripts.gpu_checks.checks.all_checks", lambda size: checks)
    assert run(monkeypatch, *only) == 0
    assert gpu_check.GRAPHS_PASSED not in capsys.readouterr().out
    monkeypatch.setattr("util.runtime.device.get_device", lambda name: torch.device("cuda"))
    for name in ("empty_cache", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda *arguments: None)
    monkeypatch.setattr(gpu_check, "describe", lambda device: "a GPU")
    assert run(monkeypatch, *only) == 0
    assert (gpu_check.GRAPHS_PASSED in capsys.readouterr().out) == (only == [])


def test_the_constant_that_it_names() -> None:
    file = Path(gpu_check.__file__).parent.parent / "util" / "runtime" / "graphs.py"
    assert "\nIS_CHECKED = " in file.read_text()


def test_names_are_unique_and_the_checks_with_deterministic_come_first() -> None:
    checks = all_checks(256)
    names = [check.name for check in checks]
    assert len(set(names)) == len(names) > 40 and names[0].startswith("resume with --deterministic")
    assert {check.name.split()[0] for check in checks if check.needs_gpu} == {"graphs"}
    assert {check.name.split()[0] for check in checks if check.compiles} == {"compile"}


def test_the_reference_has_none_of_the_ways_to_compute() -> None:
    flags = (
        "--precision",
        "bf16",
        "--model",
        "cut",
        "--cuda_graph",
        "on",
        "--compile",
        "--ema_decay",
        "0.9",
        "--dropout",
    )
    assert training.reference_flags(flags) == ("--model", "cut", "--dropout", "--precision", "fp32")


def test_waits_fail_a_check(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.device_time, "waits", lambda run, device: 2)
    with pytest.raises(CheckFailed, match="the host waits 2 times for the GPU in a step"):
        step_check(*TINY)(setting)


def test_steps_that_are_not_compiled_fail_a_check(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit of compilations, torch runs networks without them, which would pass as compiled."""
    compile_in_place = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(compile_in_place, backend="eager"))
    monkeypatch.setattr("shutil.which", lambda name: name)
    with torch._dynamo.config.patch(recompile_limit=1), pytest.raises(Exception, match="recompile_limit"):
        step_check(*TINY, "--compile", compared=False)(setting)
    torch._dynamo.reset()


def test_a_broken_gpu_does_not_hide_the_other_checks(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an illegal access to memory, every call fails, also the one that frees memory between checks."""

    def fails(*arguments: object) -> str:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "empty_cache", fails)
    assert not gpu_check.passes(Check("step", fails), replace(setting, device=torch.device("cuda")))
    assert capsys.readouterr().out.startswith("FAIL step: RuntimeError: CUDA error: an illegal memory access")


def test_resumed_training_is_compared(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "STEPS", 2)
    monkeypatch.setattr(resuming, "STOP", 1)
    assert resume_check(required=True)(setting) == "repeated: same bits, resumed: same bits"
    states = resuming.states_of
    monkeypatch.setattr(  # as if checkpoints lacked the random state, which dropout needs
        resuming, "states_of", lambda *given: {k: v for k, v in states(*given).items() if k != "random"}
    )
    assert resume_check(required=False)(setting) == "repeated: same bits, resumed: different bits"
    with pytest.raises(CheckFailed, match="repeated: same bits, resumed: different bits"):
        resume_check(required=True)(setting)


def test_translations_without_contrast_prove_nothing(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translating, "GAIN", "0.001")
    with pytest.raises(CheckFailed, match="no contrast"):
        translation_check("fp32")(setting)


def test_differences_of_losses() -> None:
    assert largest_difference({"a": 0.5, "b": 11.0}, {"a": 0.25, "b": 10.0}) == 0.25
    assert largest_difference({"a": 12.0}, {"a": 10.0}) == pytest.approx(0.2)
    with pytest.raises(CheckFailed, match="the losses are a instead of a, b"):
        largest_difference({"a": 0.5}, {"a": 0.25, "b": 10.0})


def test_graphs_are_compared_with_steps_without(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are the same here, as a CPU has no graphs; then the graphed model has another learning rate."""
    monkeypatch.setattr(graphs, "require_graphs", lambda model: None)
    monkeypatch.setattr(graphs, "STEPS", 2)
    said = graph_check(*TINY)(setting)
    assert said.startswith("losses within 0e+00, updates within 0e+00 (two runs without graphs: 0e+00), ")
    build = Setting.build
    monkeypatch.setattr(
        Setting, "build", lambda self, *flags: build(self, *flags, *(("--beta1", "0.9") if "on" in flags else ()))
    )
    with pytest.raises(CheckFailed, match=r"losses within 0e\+00, updates within [1-9]"):
        graph_check(*TINY)(setting)


def test_steps_without_graphs_are_noticed(setting: Setting) -> None:
    model = setting.build(*TINY, "--cuda_graph", "on")
    with pytest.raises(CheckFailed, match=r"steps run without graphs: on this device \(cpu\)"):
        graphs.require_graphs(model)
