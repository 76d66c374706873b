"""The folder of a run. Refusals: tests/options/test_mistakes.py; whole restarts: tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import Options
from util.checkpoint import save_weights
from util.progress import Progress
from util.run import Run


class Model:
    """The least that a run takes for a model."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.net, self.loaded = folder, nn.Linear(2, 2), []

    def networks(self) -> dict[str, nn.Module]:
        return {"G": self.net}

    def check_finite(self) -> None:
        pass

    def state_objects(self) -> dict[str, Any]:
        return {"net_G": self.net}

    def save_networks(self, epoch: str) -> None:
        save_weights({self.folder / f"{epoch}_net_G.pth": self.net})

    def load_networks(self, epoch: str) -> None:
        self.loaded.append(epoch)


def held(options: Options, *flags: object) -> tuple[Run, Model]:
    run = Run(options("--n_epochs", 3, "--n_epochs_decay", 2, *flags))
    run.hold(model := Model(run.folder), Progress())
    return run, model


@pytest.fixture
def trained(options: Options) -> tuple[Run, Model]:
    """A run that was stopped in its second epoch, which began with weights of another as the first."""
    run, model = held(options, "--epoch_count", 2)
    run.progress.count(4)
    run.save("latest", "2")
    return run, model


def test_a_new_run_has_its_folder_and_begins_where_epoch_count_says(options: Options, tmp_path: Path) -> None:
    run, model = held(options, "--name", "new", "--epoch_count", 3)
    assert run.folder == tmp_path / "checkpoints" / "new" and run.folder.is_dir()
    assert (run.progress.epoch, run.last_epoch, model.loaded) == (3, 5, [])


def test_saving_writes_the_state_and_the_weights_of_each_name(trained: tuple[Run, Model]) -> None:
    names = sorted(path.name for path in trained[0].folder.iterdir() if path.name != ".lock")
    assert names == ["2_net_G.pth", "latest_net_G.pth", "latest_state.pt", "losses.jsonl", "manifest.json"]


def test_going_on_gives_everything_back(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    trained[0].save("latest")
    expected = torch.rand(3)
    torch.manual_seed(4)
    run, model = held(options, "--continue_train")
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(model.net.weight, trained[1].net.weight) and model.loaded == []
    assert (run.progress.epoch, run.progress.images, run.opt.epoch_count) == (2, 4, 2)
    assert capsys.readouterr().out == "going on after 4 images, in epoch 2\n"


def test_going_on_after_the_end_says_so(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = trained
    while run.progress.epoch <= run.last_epoch:
        run.progress.end_epoch()
    run.save("latest")
    held(options, "--continue_train")
    assert capsys.readouterr().out == "all 5 epochs are trained: more of --n_epochs or --n_epochs_decay go on\n"


@pytest.mark.parametrize("lost", [True, False])
def test_going_on_from_bare_weights_warns(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str], lost: bool
) -> None:
    if lost:
        (trained[0].folder / "latest_state.pt").unlink()
    epoch = "latest" if lost else "2"
    run, model = held(options, "--continue_train", "--epoch", epoch, "--epoch_count", 3)
    assert model.loaded == [epoch] and run.progress.epoch == 3 and run.progress.images == 0
    assert f"warning: going on from the weights of --epoch {epoch} alone, as epoch 3" in capsys.readouterr().err


def test_overwriting_removes_what_was_there(options: Options, trained: tuple[Run, Model]) -> None:
    run, _ = held(options, "--overwrite")
    assert run.folder == trained[0].folder and [path.name for path in run.folder.iterdir()] == [".lock"]


def test_a_folder_without_a_run_is_nobodys(options: Options, tmp_path: Path) -> None:
    note = tmp_path / "checkpoints" / "tiles_cycle_gan" / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("mine")
    held(options, "--overwrite")
    assert note.read_text() == "mine"
