"""The run of a follower rank: counters and state as on rank 0, and nothing written. Whole jobs: test_torchrun.py."""

from __future__ import annotations

import shlex

import pytest
import torch

from tests.conftest import Options
from tests.util.runs.test_run import Model
from util.errors import TrainingDiverged
from util.monitors.reporter import NullReporter, create_reporter
from util.runs.follower import FollowerRun
from util.runs.progress import Progress
from util.runs.run import Run, create_run


def test_a_follower_restores_the_state_and_writes_nothing(options: Options) -> None:
    run = Run(options("--save_latest_freq", 4))
    run.attach(model := Model(run.folder), Progress())
    run.progress.count(4)
    with run:
        run.save("latest")
    run.lock.release()
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}

    follower = FollowerRun(options("--continue_train", "--save_latest_freq", 4, "--save_every", 1))
    follower.attach(other := Model(run.folder), Progress())
    assert torch.equal(other.net.weight, model.net.weight)
    assert (follower.progress.images, follower.last_epoch) == (4, run.last_epoch) and not follower.log.records
    with follower:
        follower.progress.count(4)
        assert follower.is_due()
        follower.save("latest", "1")
        follower.progress.count(1)
        assert not follower.is_due()
        follower.progress.seconds += 61
        assert follower.is_due() and follower.is_saved and follower.seconds_to_save() == 0
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


def test_a_follower_without_a_state_loads_weights(options: Options) -> None:
    run = Run(options())
    run.attach(Model(run.folder), Progress())
    with run:
        run.save("3")
    (run.folder / "latest_state.pt").unlink()
    run.lock.release()
    follower = FollowerRun(options("--continue_train", "--epoch", 3, "--epoch_count", 4))
    follower.attach(model := Model(run.folder), Progress())
    assert model.loaded == ["3"] and follower.from_weights and follower.progress.epoch == 4


def test_a_follower_notices_a_divergence_at_a_save(options: Options) -> None:
    follower = FollowerRun(options())
    follower.attach(model := Model(follower.folder), Progress())

    def diverged() -> None:
        raise TrainingDiverged("G_A = nan")

    model.check_finite = diverged  # type: ignore[method-assign]
    with pytest.raises(TrainingDiverged):
        follower.save("latest")


def test_only_rank_0_shows_a_run(options: Options) -> None:
    opt = options()
    assert isinstance(create_run(opt), Run)
    with create_reporter(opt, FollowerRun(opt), None, None) as reporter:  # type: ignore[arg-type]
        assert isinstance(reporter, NullReporter)
        reporter.step()
        reporter.print_message("nothing")


def test_printed_commands_can_be_pasted(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    opt = options("--name", "my run's", "--device", "cpu")
    run = FollowerRun(opt)
    where = ["--dataroot", opt.dataroot, "--name", "my run's", "--checkpoints_dir", opt.checkpoints_dir]
    assert shlex.split(run.resume_command()) == ["python", "train.py", "--continue_train", *where, "--device", "cpu"]
    assert shlex.split(run.test_command()) == ["python", "test.py", *where, "--device", "cpu"]
    opt.checkpoints_dir, opt.device = "./checkpoints", "auto"
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert run.resume_command().startswith("torchrun --nproc_per_node=2 train.py --continue_train --dataroot ")
    assert run.resume_command().endswith("""--name 'my run'"'"'s'""")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")  # machines
    monkeypatch.setenv("MASTER_ADDR", "node1")
    machines = ["torchrun", "--nnodes=2", "--rdzv_backend=c10d", "--rdzv_endpoint=node1", "--nproc_per_node=1"]
    assert shlex.split(run.resume_command())[:6] == [*machines, "train.py"]
