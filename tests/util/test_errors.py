"""How a program ends."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import NoReturn

import pytest
import torch

import test
import train
from options import TestOptions, TrainOptions
from util.errors import CollectiveFailed, ProcessLost, TrainingDiverged, UserError, run_main


def raising(error: BaseException) -> Callable[[], NoReturn]:
    def main() -> NoReturn:
        raise error

    return main


@pytest.mark.parametrize(
    ("main", "code", "message"),
    [
        (lambda: None, 0, ""),
        (lambda: 0, 0, ""),
        (lambda: 143, 143, ""),
        (raising(UserError("--lr 0 is wrong")), 2, "error: --lr 0 is wrong\n"),
        (raising(ProcessLost("another process has ended")), 1, "error: another process has ended\n"),
        (raising(CollectiveFailed("NCCL failed: x")), 1, "error: NCCL failed: x\n"),
        (raising(TrainingDiverged("G_A = nan")), 1, "error: training: G_A = nan; training stopped"),
        (
            raising(OSError(28, "No space left", "a.pt")),
            1,
            "error: [Errno 28] No space left: 'a.pt'\n",
        ),
        (raising(KeyboardInterrupt()), 130, "interrupted\n"),
    ],
    ids=["none", "zero", "signal", "mistake", "lost", "NCCL", "diverged", "full", "Ctrl-C"],
)
def test_exit_codes_and_messages(
    main: Callable[[], int | None], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(main)
    assert caught.value.code == code
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(message) and bool(printed.err) == bool(message)


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("mat1 and mat2 shapes cannot be multiplied")])
def test_a_bug_raises_as_usual(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_main(raising(error))


def allocate_too_much() -> None:
    torch.empty(2**50, dtype=torch.uint8)  # more than any address space


CUDA = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB of which 4.00 MiB is"
CPU = "[enforce fail at alloc_cpu.cpp:118] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 80 bytes"


@pytest.mark.parametrize(
    ("main", "message"),
    [
        (raising(torch.OutOfMemoryError(CUDA)), "the GPU ran out of memory (for 20.00 MiB more)"),
        (raising(RuntimeError("CUDA error: out of memory")), "the GPU ran out of memory"),
        (raising(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")), "the GPU ran out of memory"),
        (raising(RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)")), "the GPU ran out of memory"),
        (raising(RuntimeError(CPU)), "the machine ran out of memory (for 80 bytes more)"),
        (raising(MemoryError()), "the machine ran out of memory"),
        (raising(OSError(12, "Cannot allocate memory")), "the machine ran out of memory"),
        (allocate_too_much, f"the machine ran out of memory (for {2**50} bytes more)"),
    ],
)
def test_too_little_memory_is_a_sentence_with_the_remedy(
    main: Callable[[], int | None], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(main, "use --batch_size 1")
    assert caught.value.code == 1
    assert capsys.readouterr().err == f"error: {message}: use --batch_size 1\n"


@pytest.mark.parametrize("program", [train, test], ids=["train.py", "test.py"])
def test_the_remedies_are_options_of_the_program(program: ModuleType) -> None:
    options = (TrainOptions if program is train else TestOptions)()
    flags = options._parser_for("cycle_gan", "unaligned").flags()
    named = set(re.findall(r"--\w+", program.LESS_MEMORY))
    assert len(named) > 4 and named <= flags
