"""Notes on --deterministic and --channels_last, by device."""

from __future__ import annotations

import pytest

from models.advice import training_notes
from tests.conftest import Options

RESUMED = "note: without --deterministic, a run that is resumed on a GPU ends only statistically the same as an "


@pytest.mark.parametrize(
    ("flags", "on_cpu", "notes"),
    [
        ([], True, []),
        ([], False, []),
        (["--deterministic"], True, ["note: --deterministic is for GPUs; on a CPU, runs are deterministic without it"]),
        (["--deterministic"], False, []),
        (["--channels_last", "--norm", "batch"], False, []),
        (
            ["--channels_last", "--norm", "batch", "--norm_D", "instance"],
            False,
            ["note: --channels_last may be slower"],
        ),
        (["--channels_last"], False, ["note: --channels_last may be slower with instance norm"]),
        (["--channels_last"], True, ["note: --channels_last is for GPUs"]),
    ],
)
def test_notes(options: Options, flags: list[str], on_cpu: bool, notes: list[str]) -> None:
    found = training_notes(options(*flags), [], on_cpu=on_cpu, has_micro_batches=False)
    assert len(found) == len(notes) and all(map(str.startswith, found, notes))


def test_a_resumed_run_on_a_gpu(options: Options) -> None:
    opt = options()
    opt.continue_train = True
    notes = [training_notes(opt, [], on_cpu=on_cpu, has_micro_batches=False) for on_cpu in (False, True)]
    assert len(notes[0]) == 1 and notes[0][0].startswith(RESUMED) and notes[1] == []
    opt.deterministic = True
    assert training_notes(opt, [], on_cpu=False, has_micro_batches=False) == []
