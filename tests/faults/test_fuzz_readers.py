"""A few hundred damaged files of each format; `make test-faults` tries ten thousand."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("measures the memory of a process", allow_module_level=True)

from tests.faults.fuzz_readers import FORMATS, STARTED, fuzz


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_are_read_in_range_or_refused_by_name(tmp_path: Path, kind: str) -> None:
    outcome = fuzz(kind, 300, seed=1, folder=tmp_path)
    assert not outcome.failures
    assert outcome.read > 20 and outcome.refused > 20 and outcome.read + outcome.refused == outcome.files == 300


def test_a_program_that_is_started_would_be_noticed() -> None:
    STARTED.found.clear()
    STARTED.is_watching = True
    try:
        sys.audit("subprocess.Popen", "gs", ["gs"])
        assert STARTED.found
    finally:
        STARTED.is_watching = False
        STARTED.found.clear()
