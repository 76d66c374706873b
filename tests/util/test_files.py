"""A file is complete or unchanged."""

from __future__ import annotations

from pathlib import Path

import pytest

from util.files import atomic_open, atomic_write


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
