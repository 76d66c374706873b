"""Two ranks, started by torchrun, give the update of a single process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]

# The program of every rank: a few steps in float64 on its part of the same batches.
PROGRAM = """
import sys, torch
sys.path.insert(0, {root!r})
torch.set_num_threads(1)
from models import create_model
from options import TrainOptions
from util.runtime.processes import processes

out, left, flags = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
opt = TrainOptions().parse(["--dataroot", out, "--checkpoints_dir", out, "--seed", "3", "--device", "cpu", *flags])
world = processes()
torch.manual_seed(4)
model = create_model(opt)
model.setup(opt)
for network in model.networks().values():
    network.double()
losses = []
for step in range(4):
    generator = torch.Generator().manual_seed(step)
    count = 4 if step < 3 else left  # the last batch of an epoch is smaller
    images = {{d: torch.rand(count, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1 for d in "AB"}}
    own = world.shard(range(count))
    batch = {{d: images[d][list(own)] if own else images[d][:1] for d in "AB"}}
    model.set_input(batch | {{f"{{d}}_paths": [f"{{i}}.png" for i in own] for d in "AB"}})
    model.optimize_parameters()
    losses.append(model.get_current_losses())
    assert model.step_images == count
weights = {{f"{{n}}.{{k}}": v for n, net in model.networks().items() for k, v in net.state_dict().items()}}
pools = [pool.state_dict() for name, pool in model.state_objects().items() if "pool" in name]
torch.save((weights, losses, pools), f"{{out}}/result_{{world.world_size}}_{{world.rank}}.pt")
"""
SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--netD", "n_layers", "--n_layers_D", "1"]
SMALL += ["--crop_size", "32", "--load_size", "32", "--init_gain", "0.2"]


@pytest.mark.parametrize(
    ("left", "flags"),
    [
        (1, ["--pool_size", "0"]),  # rank 1 has no image in the last step
        (1, ["--pool_size", "3"]),
        (3, ["--pool_size", "0", "--accumulate", "2"]),  # rank 1 has one image in the last step: one micro-batch
    ],
)
def test_two_ranks_give_the_update_of_one_process(tmp_path: Path, left: int, flags: list[str]) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(root=str(ROOT)))
    for count in (1, 2):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={count}"]
        command = [*launch, str(program), str(tmp_path), str(left), *SMALL, *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
    alone, first, second = (
        torch.load(tmp_path / f"result_{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1")
    )
    for (weights, losses, pools), rank in ((first, 0), (second, 1)):
        for name, expected in alone[0].items():
            # A bias before an instance norm has no effect; Adam turns the rounding noise of its gradient into steps.
            if name.endswith("weight"):
                assert (weights[name] - expected).abs().max() < 1e-10, (rank, name)
        for found, expected in zip(losses, alone[1], strict=True):
            assert found == pytest.approx(expected, rel=1e-10)
        for found, expected in zip(pools, alone[2], strict=True):
            assert len(found["images"]) == len(expected["images"])
            for one, other in zip(found["images"], expected["images"], strict=True):
                assert torch.allclose(one, other, atol=1e-10)


LEAVING = """
import atexit, sys
sys.path.insert(0, {root!r})
import torch.distributed as dist
atexit.register(lambda: print("connected" if dist.is_initialized() else "left"))  # runs after handlers registered later
from util.runtime.processes import processes
world = processes()
sys.stdout = sys.__stdout__
for number in range(5):
    world.all_gather_ints(number)
assert dist.is_initialized()
"""


def test_the_process_group_is_destroyed_before_python_exits(tmp_path: Path) -> None:
    """Without this, a gloo thread may free a tensor while Python exits, and the process aborts (one in eight runs)."""
    program = tmp_path / "program.py"
    program.write_text(LEAVING.format(root=str(ROOT)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=4"]
    done = subprocess.run([*launch, str(program)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["left"] * 4
