"""The sums of what a run wrote."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from util import manifest
from util.errors import UserError


def write(path: Path, content: bytes, *, old_is_valid: bool = False) -> None:
    manifest.record(path.parent, {path.name: hashlib.sha256(content).hexdigest()}, old_is_valid=old_is_valid)
    path.write_bytes(content)


def test_damage_is_noticed(tmp_path: Path) -> None:
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
