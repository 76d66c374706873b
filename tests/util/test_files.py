"""A file is complete or unchanged."""

from __future__ import annotations

import errno
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from util import files
from util.files import atomic_open, atomic_write, json_text


@pytest.mark.parametrize(("content", "expected"), [(b"\x00\xff", b"\x00\xff"), ("grün\n", "grün\n".encode())])
def test_bytes_and_text_are_written(tmp_path: Path, content: bytes | str, expected: bytes) -> None:
    atomic_write(tmp_path / "file", "old and longer than the new one")
    atomic_write(tmp_path / "file", content)
    assert (tmp_path / "file").read_bytes() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_write_keeps_the_old_file_and_leaves_no_other(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write() -> None:
        with atomic_open(path, durable=durable) as file:
            file.write(b"half of the new")
            file.flush()
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write()
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_open(path, durable=True) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_missing_folder_raises_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic_write(tmp_path / "missing" / "file", "new")


def refuse(number: int) -> Callable[..., None]:
    def call(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    return call


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM])
def test_a_file_system_without_sync_is_reported_once(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(os, "fsync", refuse(number))
    for content in ("old", "new"):
        atomic_write(tmp_path / "file", content, durable=True)
    assert (tmp_path / "file").read_text() == "new"
    printed = capsys.readouterr().err.splitlines()
    assert [line[: line.index("(")].strip() for line in printed] == [
        f"warning: the file system of {tmp_path} can't fsync {what}" for what in ("files", "folders")
    ]
    assert all(f"({errno.errorcode[number]}, {os.strerror(number)})" in line for line in printed)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_a_sync_that_loses_data_fails(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    atomic_write(tmp_path / "file", "old")
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(OSError, match=re.escape(os.strerror(number))):
        atomic_write(tmp_path / "file", "new", durable=True)
    assert (tmp_path / "file").read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folders")
@pytest.mark.parametrize("number", [errno.EACCES, errno.EISDIR, errno.EBADF])
def test_a_folder_that_cannot_be_opened_is_not_synced(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(os, "open", refuse(number))
    files.folder_to_disk(tmp_path)
    monkeypatch.undo()
    assert f"warning: the file system of {tmp_path} can't fsync folders" in capsys.readouterr().err


def test_a_file_system_without_renaming_gets_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(files, "_warned", set())
    monkeypatch.setattr(os, "replace", refuse(errno.ENOSYS))
    for content in ("old and longer", "new"):
        atomic_write(tmp_path / "file", content)
    assert (tmp_path / "file").read_text() == "new" and len(list(tmp_path.iterdir())) == 1
    assert f"warning: the file system of {tmp_path} can't rename files" in capsys.readouterr().err


def test_json_has_null_for_what_it_lacks() -> None:
    record = {"a": math.nan, "b": [math.inf, 1.5, {"c": -math.inf}], "d": "NaN", "e": 2, "f": None}
    assert json.loads(json_text(record), parse_constant=pytest.fail) == {
        "a": None,
        "b": [None, 1.5, {"c": None}],
        "d": "NaN",
        "e": 2,
        "f": None,
    }
