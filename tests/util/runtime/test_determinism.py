"""--deterministic: the settings of the process, and what train.py and test.py set at their start."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

import pytest
import torch

from util.errors import run_main
from util.runtime.determinism import CUBLAS_WORKSPACE, select_algorithms
from util.runtime.precision import Precision
from util.runtime.start import prepare


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the variable of cuBLAS; afterwards the settings of the process are the usual ones."""
    monkeypatch.setenv(CUBLAS_WORKSPACE, "")  # so that it is restored
    monkeypatch.delenv(CUBLAS_WORKSPACE)
    yield
    select_algorithms(deterministic=False, fixed_sizes=False)


def settings_of_the_process() -> tuple[bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.deterministic,
        torch.backends.cudnn.benchmark,
    )


def test_settings() -> None:
    select_algorithms(deterministic=False, fixed_sizes=False)
    assert settings_of_the_process() == (False, True, False, False) and CUBLAS_WORKSPACE not in os.environ
    select_algorithms(deterministic=False, fixed_sizes=True)
    assert settings_of_the_process() == (False, True, False, True) and CUBLAS_WORKSPACE not in os.environ
    select_algorithms(deterministic=True, fixed_sizes=True)
    assert settings_of_the_process() == (True, False, True, False) and os.environ[CUBLAS_WORKSPACE] == ":4096:8"
    select_algorithms(deterministic=False, fixed_sizes=False)
    assert settings_of_the_process() == (False, True, False, False)


@pytest.mark.parametrize(("before", "after"), [(":16:8", ":16:8"), (":0:0", ":4096:8")])
def test_a_workspace_that_is_not_deterministic_is_replaced(
    monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    monkeypatch.setenv(CUBLAS_WORKSPACE, before)
    select_algorithms(deterministic=True, fixed_sizes=False)
    assert os.environ[CUBLAS_WORKSPACE] == after


def options(**values: object) -> argparse.Namespace:
    defaults = {"deterministic": False, "preprocess": "resize_and_crop", "seed": 3, "precision": "auto"}
    return argparse.Namespace(**{**defaults, "device": "cpu", **values})


def test_the_start_of_a_job() -> None:
    opt = options()
    found = prepare(opt, trains=True)
    first = torch.rand(1)
    assert vars(found) == {**vars(opt), "precision": "fp32"} and opt.precision == "auto"
    assert torch.equal(torch.manual_seed(3) and torch.rand(1), first)
    assert Precision(found.precision, torch.device("cpu")).name == "fp32"


@pytest.mark.parametrize(
    ("trains", "preprocess", "benchmark"),
    [
        (True, "resize_and_crop", True),
        (True, "scale_width_and_crop", True),
        (True, "scale_width", False),
        (True, "none", False),
        (False, "resize_and_crop", False),
    ],
)
def test_algorithms_are_timed_where_sizes_are_fixed(trains: bool, preprocess: str, benchmark: bool) -> None:
    prepare(options(preprocess=preprocess), trains=trains)
    assert torch.backends.cudnn.benchmark is benchmark
    prepare(options(preprocess=preprocess, deterministic=True), trains=trains)
    assert not torch.backends.cudnn.benchmark and torch.are_deterministic_algorithms_enabled()


def test_an_operator_that_is_not_deterministic_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise RuntimeError(
            "grid_sampler_2d_backward_cuda does not have a deterministic implementation, but you set "
            "'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
        )

    with pytest.raises(SystemExit) as caught:
        run_main(main)
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: --deterministic: grid_sampler_2d_backward_cuda has no deterministic implementation for this device: "
        "use other networks, or omit the option\n"
    )
