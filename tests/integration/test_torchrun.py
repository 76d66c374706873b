"""Training in several processes, by the real commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
import torch

from tests import forked
from tests.forked import Started
from tests.integration.conftest import ROOT, SMALL

TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
RUN = ["--name", "run", *SMALL, "--seed", "1", "--num_threads", "0", "--device", "cpu", "--print_freq", "2"]
pytestmark = pytest.mark.xdist_group("torchrun")


def start_program(program: str, arguments: list[str], launcher: list[str]) -> Started:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    if not launcher:
        return forked.start(ROOT / program, arguments, ROOT, environment)
    module, *options = launcher
    return forked.start(module, [*options, str(ROOT / program), *arguments], ROOT, environment)


def start(folder: Path, maps: Path, *flags: str, launcher: list[str] = TORCHRUN) -> Started:
    where = ["--dataroot", str(maps), "--checkpoints_dir", str(folder)]
    return start_program("train.py", [*where, *RUN, *flags], launcher)


def train(folder: Path, maps: Path, *flags: str, launcher: list[str] = TORCHRUN) -> str:
    process = start(folder, maps, *flags, launcher=launcher)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    return out + err


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "run" / "latest_net_G_A.pth", weights_only=True)


def losses(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "run" / "losses.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def scores(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_and_validate_as_one_does_and_resume_exactly(tmp_path: Path, maps: Path) -> None:
    epochs = ["--n_epochs_decay", "0", "--max_dataset_size", "5", "--val_fraction", "0.3", "--val_freq", "1"]
    epochs += ["--val_images", "5", "--metrics", "swd,edges", "--extractor", "none"]
    alone, whole, stopped = tmp_path / "alone", tmp_path / "whole", tmp_path / "stopped"
    train(alone, maps, *epochs, "--n_epochs", "2", "--batch_size", "2", launcher=[])
    printed = train(whole, maps, *epochs, "--n_epochs", "2", "--batch_size", "1", "--overwrite")
    assert printed.count("run on cpu") == printed.count("epoch 2/2, 10 of 10 images") == 1
    assert printed.count("validation after epoch 2") == 1
    assert [line["images"] for line in losses(whole)] == [line["images"] for line in losses(alone)]
    for together, single in zip(losses(whole), losses(alone), strict=True):
        assert together == pytest.approx(single, rel=0.02)
    for together, single in zip(scores(whole), scores(alone), strict=True):
        assert together == pytest.approx(single, rel=0.02)
    # Stopped after an epoch, and resumed: the same bits.
    train(stopped, maps, *epochs, "--n_epochs", "1", "--batch_size", "1")
    train(stopped, maps, "--continue_train", "--n_epochs", "2")
    assert all(torch.equal(value, weights(stopped)[name]) for name, value in weights(whole).items())
    assert losses(stopped) == losses(whole) and scores(stopped) == scores(whole)
    # Resumed with another number of processes.
    printed = train(stopped, maps, "--continue_train", "--n_epochs", "3", "--batch_size", "2", launcher=[])
    assert "resuming after 10 images" in printed and losses(stopped)[-1]["epoch"] == 3


def test_two_machines_train_one_run(tmp_path: Path, maps: Path) -> None:
    """Two torchrun agents on the loopback interface, with a process each and a shared disk."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    short = ["--max_dataset_size", "4", "--print_freq", "1"]
    agent = ["torch.distributed.run", "--nnodes=2", "--nproc_per_node=1"]
    agent += ["--rdzv_backend=c10d", f"--rdzv_endpoint=127.0.0.1:{port}", "--rdzv_id=test", "--local-addr=127.0.0.1"]
    agents = [start(tmp_path / "two", maps, *short, "--batch_size", "1", launcher=agent) for _ in range(2)]
    train(tmp_path / "alone", maps, *short, "--batch_size", "2", launcher=[])
    printed = [process.communicate(timeout=200) for process in agents]
    assert [process.returncode for process in agents] == [0, 0], printed
    assert sorted(out.count("trained 1 epochs") for out, _ in printed) == [0, 1]
    together, alone = losses(tmp_path / "two"), losses(tmp_path / "alone")
    assert [line["images"] for line in together] == [2, 4]
    for found, expected in zip(together, alone, strict=True):
        assert found == pytest.approx(expected, rel=0.02)
    # Each machine has left its own mark, so that its torchrun may restart it.
    assert {file.name for file in (tmp_path / "two" / "run").glob(".torchrun_*")} == {".torchrun_0", ".torchrun_1"}


def test_two_processes_share_a_test(tmp_path: Path, maps: Path) -> None:
    train(tmp_path, maps, "--max_dataset_size", "2", launcher=[])
    found = []
    for name, launcher in (("one", []), ("two", TORCHRUN)):
        where = ["--dataroot", str(maps), "--checkpoints_dir", str(tmp_path), "--name", "run", "--num_threads", "0"]
        results = ["--results_dir", str(tmp_path / name), "--num_test", "5", "--device", "cpu", "--eval"]
        process = start_program("test.py", [*where, *results], launcher)
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert out.count("translated 5 of") == 1
        folder = tmp_path / name / "run" / "test_latest"
        scores = json.loads((folder / "metrics.json").read_text())["scores"]
        page = (folder / "index.html").read_text()
        found.append((scores, len(list((folder / "images").iterdir())), page.count("<article"), page.count("<img")))
    (alone, *counts), (together, *others) = found
    assert counts == others and counts[0] == 2 * 5 * 4
    for visual, score in alone.items():
        assert together[visual] == pytest.approx(score, abs=1e-6)


def workers(process: Started) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return [int(pid) for pid in children.read_text().split()]


def kill_the_second(process: Started, state: Path) -> None:
    """Kill the second process with SIGKILL once there is a checkpoint."""
    end = time.monotonic() + 100
    while not state.is_file() and time.monotonic() < end:
        time.sleep(0.05)
    for pid in workers(process):
        if b"RANK=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_process_that_dies_ends_the_run_in_a_sentence_or_has_it_started_again(tmp_path: Path, maps: Path) -> None:
    flags = ["--n_epochs", "30", "--n_epochs_decay", "0", "--max_dataset_size", "4", "--save_latest_freq", "4"]
    process = start(tmp_path, maps, *flags)
    kill_the_second(process, tmp_path / "run" / "latest_state.pt")
    err = process.communicate(timeout=100)[1]
    assert process.returncode != 0
    assert err.count("another process of this run has ended") == 1
    before = losses(tmp_path)[-1]["images"]
    assert before < 120
    # Another job is refused, however often torchrun starts it.
    again = [*TORCHRUN, "--max_restarts=1"]
    process = start(tmp_path, maps, *flags, launcher=again)
    err = process.communicate(timeout=200)[1]
    assert "already contains a run" in err and "restarted by torchrun" not in err
    assert losses(tmp_path)[-1]["images"] == before
    # What torchrun starts again goes on with what it had begun.
    process = start(tmp_path, maps, *flags, "--overwrite", launcher=again)
    state = tmp_path / "run" / "latest_state.pt"
    changed = state.stat().st_mtime
    while (not state.exists() or state.stat().st_mtime == changed) and process.poll() is None:
        time.sleep(0.05)
    kill_the_second(process, state)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, out + err
    assert "restarted by torchrun: resuming run" in err
    assert [line["images"] for line in losses(tmp_path)] == list(range(2, 121, 2))


def test_ctrl_c_saves(tmp_path: Path, maps: Path) -> None:
    process = start(tmp_path, maps, "--n_epochs", "500", "--max_dataset_size", "4", "--save_latest_freq", "4")
    end = time.monotonic() + 100
    while not (tmp_path / "run" / "latest_state.pt").is_file() and time.monotonic() < end:
        time.sleep(0.05)
    for pid in [process.pid, *workers(process)]:  # as a terminal does
        os.kill(pid, signal.SIGINT)
    err = process.communicate(timeout=100)[1]
    assert err.count("stopped and saved in") == 1


def test_syncbatch_needs_gpus(tmp_path: Path, maps: Path) -> None:
    process = start(tmp_path, maps, "--norm", "syncbatch")
    err = process.communicate(timeout=100)[1]
    assert "error: --norm syncbatch with 2 processes needs GPUs, not --device cpu: use --norm batch" in err


def test_a_mistake_found_by_all_ranks_is_reported_once(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    out, err = start(tmp_path, missing).communicate(timeout=100)
    assert err.count(f"error: {missing}") + err.count(f"error: --dataroot {missing}") == 1, err
    assert not out
