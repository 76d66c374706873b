"""losses.jsonl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from util.errors import UserError
from util.runs.loss_log import LossLog

RECORDS = [
    {"epoch": 1, "step": step, "images": 2 * step, "seconds": 0.5, "G_A": 0.25, "lr": 0.0002} for step in range(1, 6)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of five steps."""
    log = LossLog(tmp_path / "losses.jsonl")
    for record in RECORDS:
        log.append(record)
    return log.path


def test_a_record_is_a_line_of_json(path: Path) -> None:
    assert [json.loads(line) for line in path.read_text().splitlines()] == RECORDS
    assert LossLog(path).records == RECORDS


def test_without_a_file_the_log_is_empty(tmp_path: Path) -> None:
    log = LossLog(tmp_path / "losses.jsonl")
    assert log.records == [] and not log.path.exists()


@pytest.mark.parametrize("kept", [1, 20, -2])
def test_an_incomplete_line_after_a_crash_is_ignored(path: Path, kept: int) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:kept])
    assert LossLog(path).records == RECORDS[:-1]


def test_zero_bytes_after_a_crash_are_ignored(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\x00" * 50 + b"\xff\xfe")
    assert LossLog(path).records == RECORDS


def test_lines_after_a_broken_line_are_ignored(path: Path) -> None:
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], lines[2][:9] + "\n", *lines[3:]]))
    assert LossLog(path).records == RECORDS[:2]


def test_records_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    log = LossLog(path := tmp_path / "losses.jsonl")
    for record in RECORDS[:3]:
        log.append(record)
    saved = log.state_dict()
    for record in RECORDS[3:]:
        log.append(record)
    path.write_text(path.read_text() + '{"epoch": 1, "st')
    log = LossLog(path)
    log.load_state_dict(saved)
    assert log.records == RECORDS[:3]
    log.append(RECORDS[3])
    assert LossLog(path).records == RECORDS[:4]
    assert path.read_text().count("\n") == 4


def test_a_line_that_could_not_be_written_is_written_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LossLog(path := tmp_path / "losses.jsonl")
    log.append(RECORDS[0])
    path.rename(aside := tmp_path / "aside")
    path.mkdir()  # where no file can be opened
    for record in RECORDS[1:3]:
        with pytest.raises(OSError):
            log.append(record)
    with pytest.raises(OSError):
        log.state_dict()
    path.rmdir()
    aside.rename(path)
    log.append(RECORDS[3])
    assert LossLog(path).records == RECORDS[:4]


def test_a_missing_file_is_rewritten_by_a_save(tmp_path: Path) -> None:
    log = LossLog(path := tmp_path / "losses.jsonl")
    log.append(RECORDS[0])
    path.unlink()
    log.state_dict()
    assert LossLog(path).records == RECORDS[:1]


def test_a_damaged_file_is_accepted_only_with_force(path: Path) -> None:
    saved = LossLog(path).state_dict()
    content = path.read_bytes()
    for damaged in (content[:-1], content.replace(b'"step": 3', b'"step": 7'), b""):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"losses\.jsonl was changed or damaged .* --force"):
            LossLog(path).load_state_dict(saved)
        assert path.read_bytes() == damaged
    path.write_bytes(content.replace(b'"step": 3', b'"step":: 3'))
    forced = LossLog(path, forced=True)
    forced.load_state_dict(saved)
    assert forced.records == RECORDS[:2] and LossLog(path).records == RECORDS[:2]


def test_a_number_that_json_does_not_have_is_an_error(path: Path) -> None:
    before = path.read_text()
    with pytest.raises(ValueError, match="JSON"):
        LossLog(path).append(RECORDS[0] | {"G_A": float("nan")})
    assert path.read_text() == before
