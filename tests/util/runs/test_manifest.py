"""The SHA-256 sums in manifest.json."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from util.errors import UserError
from util.runs import manifest


def write(path: Path, content: bytes, *, old_is_valid: bool = False) -> None:
    manifest.record(path.parent, {path.name: hashlib.sha256(content).hexdigest()}, old_is_valid=old_is_valid)
    path.write_bytes(content)


def test_damage_is_detected(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"from elsewhere")
    assert not manifest.is_known(path) and not manifest.is_damaged(path)
    write(path, b"ours")
    write(tmp_path / "b.pth", b"other")
    assert manifest.is_known(path) and not manifest.is_damaged(path)
    path.write_bytes(b"0urs")
    assert manifest.is_damaged(path)
    (tmp_path / "b.pth").unlink()
    assert manifest.damaged(tmp_path) == ["a.pth", "b.pth"]


def test_a_crash_between_sum_and_file_is_damage_only_where_files_belong_together(tmp_path: Path) -> None:
    for name, old_is_valid in (("options.json", True), ("latest_net_G.pth", False)):
        path = tmp_path / name
        for content in (b"one", b"two"):
            write(path, content, old_is_valid=old_is_valid)
        path.write_bytes(b"one")
        assert manifest.is_damaged(path) is not old_is_valid
        write(path, b"three", old_is_valid=old_is_valid)
        path.write_bytes(b"one")
        assert manifest.is_damaged(path)


@pytest.mark.parametrize("damage", [(b"options", b"0ptions"), (b"{", b""), (b"sha256", b"sha257")])
def test_a_damaged_manifest_is_named(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    write(tmp_path / "options.json", b"{}")
    file = tmp_path / "manifest.json"
    file.write_bytes(file.read_bytes().replace(*damage, 1))
    with pytest.raises(UserError, match=r"manifest\.json is damaged: remove it"):
        manifest.is_damaged(tmp_path / "options.json")


def test_files_that_belong_together_are_read_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(content: bytes) -> None:
        total = hashlib.sha256(content).hexdigest()
        manifest.record(tmp_path, dict.fromkeys(("a.pth", "b.pth"), total))
        for name in ("a.pth", "b.pth"):
            (tmp_path / name).write_bytes(content)

    save(b"one")
    slept: list[float] = []
    monkeypatch.setattr(manifest.time, "sleep", slept.append)
    read_bytes = Path.read_bytes

    def while_training_saves(path: Path) -> bytes:
        content = read_bytes(path)
        if path.name == "a.pth" and len(slept) == 1:
            save(b"two")
        return content

    monkeypatch.setattr(Path, "read_bytes", while_training_saves)
    assert manifest.read_files(tmp_path, ["a.pth", "b.pth"]) == {"a.pth": b"two", "b.pth": b"two"}
    assert slept == [0, 1]
    (tmp_path / "b.pth").write_bytes(b"0ne")
    with pytest.raises(UserError, match=r"b\.pth does not match its SHA-256 sum"):
        manifest.read_files(tmp_path, ["a.pth", "b.pth"])
