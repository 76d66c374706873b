"""What surrounds a run: a console that fails, a terminal that is lost, a file system that lacks operations."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, SMALL, Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell and signals")

SAVED = ["latest_net_D_A.pth", "latest_net_D_B.pth", "latest_net_G_A.pth", "latest_net_G_B.pth", "latest_state.pt"]
WITHOUT_SAFETY = """
import errno, fcntl, os

def refuse(*arguments):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

os.fsync = fcntl.lockf = refuse
"""


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("latest_*"))


def command_line(program: str, *arguments: object) -> str:
    return shlex.join([sys.executable, str(ROOT / program), *map(str, arguments)])


def training(root: Path, *arguments: object) -> str:
    small = [*SMALL[: SMALL.index("--num_threads")], "--device", "cpu", "--max_dataset_size", 2, "--display_id", 0]
    return command_line("train.py", "--dataroot", root, *small, "--print_freq", 1, "--name", "run", *arguments)


def shell(command: str, tmp_path: Path, **environment: str) -> int:
    """Run a command in bash; returns the exit code of the first program of a pipe."""
    variables = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    script = f"{command}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", script], cwd=tmp_path, env=variables, timeout=240).returncode


@pytest.mark.parametrize(
    ("to_train", "to_test"),
    [("2>&- | true", "> /dev/full 2>&1"), ("> /dev/full 2> >(true)", "<&- >&- 2>&-")],
)
def test_training_and_testing_need_no_console(to_train: str, to_test: str, maps: Path, tmp_path: Path) -> None:
    assert shell(f"{training(maps, '--num_threads', 1)} {to_train}", tmp_path) == 0
    assert saved(tmp_path / "checkpoints" / "run") == SAVED
    tested = command_line("test.py", "--dataroot", maps, "--num_test", 2, "--num_threads", 1, "--device", "cpu")
    assert shell(f"{tested} {to_test}", tmp_path) == 0
    assert (tmp_path / "results" / "run" / "test_latest" / "index.html").is_file()


def test_a_console_without_the_characters_of_a_path(maps: Path, tmp_path: Path) -> None:
    root = tmp_path / "\u99ac"
    root.symlink_to(maps)
    command = f"{training(root, '--num_threads', 0)} > out.txt 2> err.txt"
    assert shell(command, tmp_path, PYTHONIOENCODING="ascii") == 0
    assert saved(tmp_path / "checkpoints" / "run") == SAVED
    assert r"\u99ac" in (tmp_path / "out.txt").read_text("ascii")


def test_a_lost_terminal_saves_and_stops(maps: Path, tmp_path: Path) -> None:
    """The system sends SIGHUP to all processes of the terminal, loader workers included; a shell sends it again."""
    arguments = training(maps, "--num_threads", 1, "--n_epochs", 2000)
    output = tmp_path / "out.txt"
    with output.open("w") as out:
        process = subprocess.Popen(
            shlex.split(arguments),
            cwd=tmp_path,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
        )
    try:
        while output.read_text().count("images, ") < 3:
            assert process.poll() is None, output.read_text()
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 129, output.read_text()
    finally:
        process.kill()
    assert saved(tmp_path / "checkpoints" / "run") == SAVED
    assert "a loader worker failed" not in output.read_text()


def test_a_file_system_without_sync_and_locks(train: Command, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_SAFETY)  # the programs import it at their start
    refused = train("--name", "run", code=2).stderr
    assert refused.startswith("error: checkpoints/run/.lock can't be locked (Operation not supported): ")
    assert "use --no_lock" in refused
    printed = train("--name", "run", "--no_lock", "--n_epochs", 2, "--save_epoch_freq", 1).stderr
    assert set(saved(tmp_path / "checkpoints" / "run")) == {*SAVED, "latest_state.1.pt"}
    assert printed.count("can't fsync files (") == 1, printed
    assert printed.count("can't fsync folders (") == 1
