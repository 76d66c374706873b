"""Weight files and checkpoints on disk. Which weights fit a network: tests/models/networks/test_generators.py."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.image_pool import ImagePool
from tests.faults.lab import differences
from util.errors import UserError
from util.files import HashingFile
from util.runs import checkpoint, weights
from util.runs.checkpoint import Checkpoint, snapshot
from util.runs.progress import Progress
from util.runs.weights import load_weights, save_weights, weights_path


def test_names_of_weight_files() -> None:
    assert weights_path(Path("run"), "latest", "G_A") == Path("run/latest_net_G_A.pth")
    assert weights_path(Path("run"), "iter_2000", "G", "_A") == Path("run/iter_2000_net_G_A.pth")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The weights of a large linear layer, without a manifest, as from other code."""
    path = tmp_path / "latest_net_G.pth"
    save_weights({path: nn.Linear(50, 50)})
    (tmp_path / "manifest.json").unlink()
    return path


class Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 45524\n",
        b"<!DOCTYPE html><html>404 Not Found</html>",
        b"PK\x03\x04 but no archive",
        pickle.dumps(Dangerous(), protocol=2),
        pickle.dumps([1, 2], protocol=2),
    ],
    ids=["empty", "lfs pointer", "page", "broken zip", "code", "list"],
)
def test_a_file_that_holds_no_weights_is_named(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "latest_net_G.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"latest_net_G\.pth (can't be read as a weight file|is not the state dict)"):
        load_weights({path: nn.Linear(3, 2)})
    assert not (tmp_path / "executed").exists()


def test_a_truncated_weight_file_is_named(saved: Path) -> None:
    content = saved.read_bytes()
    for length in range(0, len(content) - 1, 97):
        saved.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"latest_net_G\.pth can't be read as a weight file: \S+"):
            load_weights({saved: nn.Linear(3, 2)})


@pytest.mark.parametrize("content", [[1, 2], {"weight": [1.0]}, {}, {"model": {"epoch": 1}}, {1: torch.zeros(2, 3)}])
def test_content_other_than_a_state_dict_is_refused(content: object, saved: Path) -> None:
    torch.save(content, saved)
    with pytest.raises(UserError, match="is not the state dict of a network"):
        load_weights({saved: nn.Linear(3, 2)})


def test_weights_on_disk_need_no_device_and_share_no_memory(saved: Path) -> None:
    network = nn.Linear(100, 100)
    wide = nn.Linear(100, 100)
    wide.weight = nn.Parameter(network.weight.detach()[:, ::2].t())  # a view of a larger tensor
    save_weights({saved: wide})
    weights = torch.load(saved, weights_only=True)
    assert weights["weight"].is_contiguous() and torch.equal(weights["weight"], wide.weight)
    assert saved.stat().st_size < 30_000  # 50 * 100 values of 4 bytes


def test_a_failed_write_keeps_the_old_weights(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(content: object, file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        save_weights({saved: nn.Linear(3, 2)})
    with pytest.raises(OSError, match="No space left"):
        Checkpoint(saved.with_name("state.pt"), {}).save()
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


# The whole state.


def things(seed: int) -> dict[str, Any]:
    """Objects of the kinds that a run has, in a state that depends on the seed."""
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
    network(torch.rand(4, 3)).square().sum().backward()
    optimizer.step()
    progress = Progress()
    progress.count(seed)
    pool = ImagePool(2, seed=seed)
    pool.query(torch.rand(3, 3, 2, 2))
    return {"net_G": network, "optimizer_G": optimizer, "progress": progress, "pool": pool}


def test_every_object_is_restored(tmp_path: Path) -> None:
    saved, loaded = things(3), things(5)
    Checkpoint(tmp_path / "latest_state.pt", saved).save()
    Checkpoint(tmp_path / "latest_state.pt", loaded).load()
    assert torch.equal(loaded["net_G"].weight, saved["net_G"].weight)
    assert loaded["progress"].state_dict() == saved["progress"].state_dict()
    assert all(torch.equal(a, b) for a, b in zip(saved["pool"].images, loaded["pool"].images, strict=True))
    state = loaded["optimizer_G"].state_dict()["state"]
    for index, moments in saved["optimizer_G"].state_dict()["state"].items():
        assert all(torch.equal(value, state[index][name]) for name, value in moments.items())


def test_a_snapshot_does_not_change_and_copies_a_tensor_once() -> None:
    objects = things(3)
    expected = Checkpoint(Path("state.pt"), things(3)).states()
    states = {name: thing.state_dict() for name, thing in objects.items()}
    weight, bias = states["net_G"]["weight"], states["net_G"]["bias"]
    taken = snapshot([states, objects["net_G"].state_dict(), weight.t(), bias[:1]])

    network, optimizer = objects["net_G"], objects["optimizer_G"]
    network(torch.rand(4, 3)).sum().backward()
    optimizer.step()
    optimizer.param_groups[0]["lr"] = 7.0
    objects["progress"].count(5)
    objects["progress"].saved_as.append("later")
    objects["pool"].images[0].zero_()
    objects["pool"].query(torch.rand(9, 3, 2, 2))
    assert differences(taken[0], expected, "state") == []
    assert differences(snapshot({name: thing.state_dict() for name, thing in objects.items()}), expected, "") != []

    assert taken[0]["net_G"]["weight"] is taken[1]["weight"] and taken[1]._metadata == states["net_G"]._metadata
    assert torch.equal(taken[2], taken[1]["weight"].t()) and torch.equal(taken[3], taken[1]["bias"][:1])


def test_other_networks_than_this_run_has_are_an_error(tmp_path: Path) -> None:
    Checkpoint(path := tmp_path / "latest_state.pt", things(1) | {"net_F": nn.Linear(1, 1)}).save()
    with pytest.raises(UserError, match=r"latest_state\.pt has other networks than this run \(net_F\)"):
        Checkpoint(path, things(2)).load()


def test_objects_and_keys_that_a_state_lacks_get_their_defaults_and_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = things(1)
    Checkpoint(path := tmp_path / "latest_state.pt", saved).save()
    other = things(2)
    other["average_G"] = other.pop("pool")
    before = other["average_G"].state_dict()
    Checkpoint(path, other).load()
    assert differences({"net_G": other["net_G"].state_dict()}, {"net_G": saved["net_G"].state_dict()}, "state") == []
    assert differences(other["average_G"].state_dict(), before, "pool") == []
    said = capsys.readouterr().err
    assert "lacks average_G: these start with their defaults" in said and "also has pool: not used by this run" in said

    class Longer(Progress):
        def __init__(self) -> None:
            super().__init__()
            self.new_counter = 7

    Checkpoint(path, {"progress": Progress()}).save()
    longer = Longer()
    longer.new_counter = 8
    Checkpoint(path, {"progress": longer}).load()
    assert longer.new_counter == 8
    assert "progress lacks new_counter: set to the defaults" in capsys.readouterr().err


def test_an_object_of_another_shape_is_named(tmp_path: Path) -> None:
    Checkpoint(path := tmp_path / "latest_state.pt", {"net_G": nn.Linear(3, 2)}).save()
    with pytest.raises(UserError, match=r"latest_state\.pt does not fit this run's net_G"):
        Checkpoint(path, {"net_G": nn.Linear(4, 2)}).load()


def test_a_file_of_another_kind_is_no_state(saved: Path) -> None:
    with pytest.raises(UserError, match=r"latest_net_G\.pth is damaged \(its SHA-256 sum does not match\)"):
        Checkpoint(saved, things(1)).load()


def test_a_state_of_another_version_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "latest_state.pt"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "STATE_FORMAT", 99)
        Checkpoint(path, things(1)).save()
    with pytest.raises(UserError, match="is not a state that this version can read \\(its format is 99\\)"):
        Checkpoint(path, things(1)).load()


def test_fallback_checkpoints_are_kept_and_loaded_if_newer_ones_are_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, objects = tmp_path / "latest_state.pt", things(1)
    kept = Checkpoint(path, objects, keep=3)
    for _ in range(5):
        objects["progress"].count(1)
        kept.save()
    assert [file.name for file in kept.paths()] == ["latest_state.pt", "latest_state.1.pt", "latest_state.2.pt"]
    steps = objects["progress"].step

    def loaded_step() -> int:
        again = things(2)
        Checkpoint(path, again, keep=3).load()
        return int(again["progress"].step)

    assert loaded_step() == steps and capsys.readouterr().err == ""
    path.write_bytes(path.read_bytes()[:-200])
    content = bytearray((tmp_path / "latest_state.1.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "latest_state.1.pt").write_bytes(content)
    assert loaded_step() == steps - 2
    printed = capsys.readouterr().err
    assert "latest_state.pt is damaged" in printed and "latest_state.1.pt is damaged" in printed
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "latest_state.1.damaged",
        "latest_state.2.pt",
        "latest_state.damaged",
    ]
    (tmp_path / "latest_state.2.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"latest_state\.pt is damaged .* --epoch N"):
        loaded_step()


@pytest.mark.parametrize("allowed", [0, 100, 5000])
def test_a_disk_that_fills_up_while_saving_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    path, objects = tmp_path / "latest_state.pt", things(1)
    Checkpoint(path, objects, keep=2).save()
    save_weights({tmp_path / "latest_net_G.pth": objects["net_G"], tmp_path / "latest_net_D.pth": nn.Linear(9, 9)})
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    class Filling(HashingFile):
        written = 0

        def write(self, data: bytes) -> int:
            Filling.written += len(data)
            if Filling.written > allowed:
                self.error = OSError(28, "No space left on device")
                raise self.error
            return super().write(data)

    monkeypatch.setattr(weights, "HashingFile", Filling)
    with pytest.raises(OSError, match="No space left"):
        Checkpoint(path, objects, keep=2).save()
    Filling.written = 0
    with pytest.raises(OSError, match="No space left"):
        save_weights({tmp_path / "latest_net_G.pth": nn.Linear(3, 2), tmp_path / "latest_net_D.pth": nn.Linear(90, 90)})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
