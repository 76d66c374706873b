"""The folder of a run. Errors: tests/options/test_mistakes.py; whole restarts: tests/integration."""

from __future__ import annotations

import errno
import gc
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import Options
from util.errors import TrainingDiverged, UserError
from util.runs.checkpoint import Checkpoint
from util.runs.progress import Progress
from util.runs.run import Run
from util.runs.weights import load_weights

ROOT = Path(__file__).resolve().parents[3]


class Model:
    """The smallest model for a run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.net, self.loaded = folder, nn.Linear(2, 2), []

    def networks(self) -> dict[str, nn.Module]:
        return {"G": self.net}

    def check_finite(self) -> None:
        pass

    def state_objects(self) -> dict[str, Any]:
        return {"net_G": self.net}

    def weights(self, epoch: str) -> dict[Path, dict[str, torch.Tensor]]:
        return {self.folder / f"{epoch}_net_G.pth": self.net.state_dict()}

    def load_networks(self, epoch: str) -> None:
        self.loaded.append(epoch)


def attached(options: Options, *flags: object) -> tuple[Run, Model]:
    run = Run(options("--n_epochs", 3, "--n_epochs_decay", 2, *flags))
    run.attach(model := Model(run.folder), Progress())
    return run, model


@pytest.fixture
def trained(options: Options) -> tuple[Run, Model]:
    """A run that was stopped in epoch 2, its first one (--epoch_count)."""
    run, model = attached(options, "--epoch_count", 2)
    run.progress.count(4)
    run.save("latest", "2")
    run.wait()
    return run, model


def test_a_new_run_creates_its_folder_and_starts_at_epoch_count(options: Options, tmp_path: Path) -> None:
    run, model = attached(options, "--name", "new", "--epoch_count", 3)
    assert run.folder == tmp_path / "checkpoints" / "new" and run.folder.is_dir()
    assert (run.progress.epoch, run.last_epoch, model.loaded) == (3, 5, [])


def test_saving_writes_the_state_and_the_weights_of_each_name(trained: tuple[Run, Model]) -> None:
    names = sorted(path.name for path in trained[0].folder.iterdir() if path.name != ".lock")
    assert names == ["2_net_G.pth", "latest_net_G.pth", "latest_state.pt", "manifest.json"]


def test_resuming_restores_everything(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    trained[0].save("latest")
    expected = torch.rand(3)
    trained[0].wait()
    torch.manual_seed(4)
    run, model = attached(options, "--continue_train")
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(model.net.weight, trained[1].net.weight) and model.loaded == []
    assert (run.progress.epoch, run.progress.images, run.progress.first_epoch) == (2, 4, 2)
    assert capsys.readouterr().out == "resuming after 4 images, in epoch 2\n"


def test_resuming_a_finished_run_is_reported(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = trained
    while run.progress.epoch <= run.last_epoch:
        run.progress.end_epoch()
    with run:
        run.save("latest")
    attached(options, "--continue_train")
    assert (
        capsys.readouterr().out == "all 5 epochs are done: to train longer, increase --n_epochs or --n_epochs_decay\n"
    )


@pytest.mark.parametrize("lost", [True, False])
def test_resuming_from_weights_alone_warns(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str], lost: bool
) -> None:
    if lost:
        (trained[0].folder / "latest_state.pt").unlink()
    epoch = "latest" if lost else "2"
    run, model = attached(options, "--continue_train", "--epoch", epoch, "--epoch_count", 3)
    assert model.loaded == [epoch] and run.progress.epoch == 3 and run.progress.images == 0
    assert f"warning: resuming from the weights of --epoch {epoch} alone, as epoch 3" in capsys.readouterr().err


def test_overwriting_removes_what_was_there(options: Options, trained: tuple[Run, Model]) -> None:
    run, _ = attached(options, "--overwrite")
    assert run.folder == trained[0].folder and [path.name for path in run.folder.iterdir()] == [".lock"]


def test_fallback_checkpoints_are_kept(options: Options) -> None:
    run, _ = attached(options, "--keep_checkpoints", 3)
    with run:
        for _ in range(4):
            run.save("latest")
    assert sorted(path.name for path in run.folder.glob("*.pt")) == [
        "latest_state.1.pt",
        "latest_state.2.pt",
        "latest_state.pt",
    ]


def test_weights_of_an_interrupted_save_are_rewritten(
    options: Options, trained: tuple[Run, Model], capsys: pytest.CaptureFixture[str]
) -> None:
    run, model = trained
    exported = (run.folder / "2_net_G.pth").read_bytes()
    torch.nn.init.zeros_(model.net.weight)
    run.progress.saved_as = ["latest", "3"]
    run.checkpoint.save()  # killed here
    (run.folder / "latest_net_G.pth").write_bytes(exported[:50])
    run, model = attached(options, "--continue_train")
    assert "rewritten from latest_state.pt" in (printed := capsys.readouterr().out) and "latest_net_G.pth" in printed
    for name in ("latest", "3"):
        load_weights({run.folder / f"{name}_net_G.pth": model.net})
        assert not model.net.weight.any()
    assert (run.folder / "2_net_G.pth").read_bytes() == exported


def test_a_full_disk_pauses_saving(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = attached(options)
    printed: list[str] = []
    run.print_message = printed.append
    run.save("latest")
    assert run.is_saved
    before = (run.folder / "latest_state.pt").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(run.checkpoint, "write", failing(OSError(28, "No space left on device")))
        run.progress.count(1)
        run.save("latest")
        assert not run.is_saved
    assert (run.folder / "latest_state.pt").read_bytes() == before
    assert printed[0].startswith("warning: step 1 could not be saved as latest ([Errno 28] No space left on device)")
    assert printed[1].startswith("error: the end of the run could not be saved")
    run.save("latest")
    assert run.is_saved and (run.folder / "latest_state.pt").read_bytes() != before


def failing(error: Exception) -> Any:
    def fail(*arguments: object) -> None:
        raise error

    return fail


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """States get to the disk only once this is set."""
    ready, write = threading.Event(), Checkpoint.write

    def wait_and_write(self: Checkpoint, states: Any) -> None:
        assert ready.wait(20)
        write(self, states)

    monkeypatch.setattr(Checkpoint, "write", wait_and_write)
    return ready


def test_training_continues_while_a_copy_is_written(options: Options, slow_disk: threading.Event) -> None:
    run, model = attached(options)
    run.progress.count(4)
    run.log.append({"epoch": 1, "step": 1, "images": 4, "seconds": 1.0, "lr": 1.0})
    torch.manual_seed(3)
    before, length = model.net.weight.clone(), run.log.path.stat().st_size
    run.save("latest", "2")
    torch.nn.init.zeros_(model.net.weight)
    run.progress.count(4)
    run.log.append({"epoch": 1, "step": 2, "images": 8, "seconds": 2.0, "lr": 1.0})
    expected = torch.rand(3)
    assert not list(run.folder.glob("*.pt*"))
    slow_disk.set()
    assert run.is_saved
    for name in ("latest", "2"):
        assert torch.equal(torch.load(run.folder / f"{name}_net_G.pth")["weight"], before)
    run, model = attached(options, "--continue_train")
    assert torch.equal(model.net.weight, before) and torch.equal(torch.rand(3), expected)
    assert (run.progress.step, run.progress.images, len(run.log.records)) == (1, 4, 1)
    assert run.log.path.stat().st_size == length


def test_one_save_is_written_at_a_time(options: Options, slow_disk: threading.Event) -> None:
    run, _ = attached(options)
    run.save("latest")
    second = threading.Thread(target=lambda: run.save("2"))
    second.start()
    second.join(0.2)
    assert second.is_alive() and not list(run.folder.glob("*.pt*"))
    slow_disk.set()
    second.join(20)
    assert run.is_saved and {path.name for path in run.folder.glob("*.pth")} == {"latest_net_G.pth", "2_net_G.pth"}


def test_the_copy_is_freed_after_writing(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = attached(options)
    copies: list[weakref.ref[torch.Tensor]] = []

    def fail(states: Any) -> None:
        copies.append(weakref.ref(states["net_G"]["weight"]))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run.checkpoint, "write", fail)
    run.save("latest")
    assert not run.is_saved
    gc.collect()
    assert copies[0]() is None


def test_an_error_other_than_an_oserror_ends_training(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = attached(options)
    monkeypatch.setattr(run.checkpoint, "write", failing(UserError("manifest.json is damaged")))
    run.save("latest")
    with pytest.raises(UserError, match=r"manifest\.json is damaged"):
        for _ in range(2000):
            run.is_due()
            time.sleep(0.01)
    run.save("latest")
    with pytest.raises(UserError), run:
        pass


def test_the_time_for_a_save_is_that_of_the_longest(options: Options, slow_disk: threading.Event) -> None:
    run, _ = attached(options)
    assert run.seconds_to_save() == 0
    run.save("latest")
    time.sleep(0.2)
    slow_disk.set()
    run.wait()
    assert run.seconds_to_save() >= 0.4
    longest = run.seconds_to_save()
    run.save("latest")
    assert run.is_saved and run.seconds_to_save() == longest


def test_a_model_that_has_diverged_is_not_saved(options: Options, trained: tuple[Run, Model]) -> None:
    run, model = trained
    before = (run.folder / "latest_state.pt").read_bytes()

    def diverged() -> None:
        raise TrainingDiverged("G_A = nan")

    model.check_finite = diverged  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged):
        run.save("latest")
    assert (run.folder / "latest_state.pt").read_bytes() == before


def test_a_save_is_due_by_images_or_by_minutes(options: Options) -> None:
    run, _ = attached(options, "--save_latest_freq", 3, "--save_every", 2)
    seen = []
    for seconds in (10, 20, 30, 40, 121, 122, 123):
        run.progress.count(1)
        run.progress.seconds = seconds
        seen.append(run.is_due())
        if seconds == 40:
            run.save("latest")  # by hand
            assert run.progress.saved_at == 40
    # By images the third and sixth; by minutes none, as it is 160 that is two minutes after 40.
    assert seen == [False, False, True, False, False, True, False]
    run.progress.seconds = 160
    assert run.is_due()


def test_losses_of_a_run_without_a_checkpoint_are_set_aside(options: Options) -> None:
    run, _ = attached(options, "--name", "short")
    run.log.append({"epoch": 1, "step": 1, "images": 1, "seconds": 1.0, "lr": 1.0})
    again, _ = attached(options, "--name", "short")
    assert again.log.records == [] and (again.folder / "losses_1.jsonl").is_file()


def test_only_one_process_trains_in_a_folder(options: Options, trained: tuple[Run, Model]) -> None:
    trained[0].lock.release()
    folder = trained[0].folder
    holding = (
        f"import os, sys, time; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from util.runs.lock import Lock\n"
        f"lock = Lock(Path({str(folder)!r})); print(os.getpid(), flush=True)\n"
        "child = os.fork()\n"
        "time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", holding], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert other.stdout is not None
        pid = int(other.stdout.readline())
        with pytest.raises(UserError, match=rf"is in use: process {pid} on {socket.gethostname()} .*; wait for it, or"):
            attached(options, "--continue_train")
        with pytest.raises(UserError, match="is in use"):
            attached(options, "--overwrite")
        assert (folder / "latest_state.pt").is_file()
        os.kill(pid, signal.SIGKILL)  # its child, as a loader's worker would, lives on
        other.wait()
        attached(options, "--continue_train")
    finally:
        os.killpg(other.pid, signal.SIGKILL)


def test_other_files_in_a_folder_without_a_run_stay(options: Options, tmp_path: Path) -> None:
    note = tmp_path / "checkpoints" / "tiles_cycle_gan" / "note.txt"
    note.parent.mkdir(parents=True)
    note.write_text("mine")
    attached(options, "--overwrite")
    assert note.read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="locks by msvcrt")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_locks_needs_no_lock(
    number: int, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.lockf", refuse)
    with pytest.raises(UserError, match=rf"\.lock can't be locked \({os.strerror(number)}\): .* use --no_lock"):
        attached(options, "--name", "unlocked")
    run, _ = attached(options, "--name", "unlocked", "--no_lock")
    run.save("latest")
    assert run.is_saved and "--no_lock" in shlex.split(run.resume_command())
    assert "--no_lock" not in run.test_command()
