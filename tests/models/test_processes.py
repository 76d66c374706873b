"""Two ranks, started by torchrun, give the update of a single process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from models import create_model
from tests import forked
from tests.conftest import Options
from tests.models.test_micro_batches import noise
from util.errors import UserError
from util.runtime.processes import Processes

ROOT = Path(__file__).resolve().parents[2]

# The program of every rank: a few steps in float64 on its part of the same batches. It records its collectives.
PROGRAM = """
import sys, torch
sys.path.insert(0, {root!r})
torch.set_num_threads(1)
import torch.distributed as dist
from models import create_model
from options import TrainOptions
from util.errors import UserError
from util.runtime import processes as module
from util.runtime.processes import processes

def spy(owner, name):
    def recorded(*arguments, **keywords):
        is_integer = any(isinstance(tensor, torch.Tensor) and tensor.dtype == torch.int64 for tensor in arguments)
        calls.append("integers" if is_integer else name)
        return function(*arguments, **keywords)
    function = getattr(owner, name)
    setattr(owner, name, recorded)

calls = []
for name in ("all_gather", "all_reduce", "all_gather_object"):
    spy(dist, name)
spy(module.Reduction, "finish")
module.BUCKET_BYTES = 2**18
out, left, flags = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
opt = TrainOptions().parse(["--dataroot", out, "--checkpoints_dir", out, "--seed", "3", *flags])
world = processes()
torch.manual_seed(4)
model = create_model(opt)
model.setup(opt)
for network in model.networks().values():
    network.double()
losses, calls_of_steps, stops = [], [], []
for step in range(4):
    generator = torch.Generator().manual_seed(step)
    count = 4 if step < 3 else left  # the last batch of an epoch is smaller
    images = {{d: torch.rand(count, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1 for d in "AB"}}
    own = world.shard(range(count))
    batch = {{d: images[d][list(own)] if own else images[d][:1] for d in "AB"}}
    model.set_input(batch | {{f"{{d}}_paths": [f"{{i}}.png" for i in own] for d in "AB"}})
    calls.clear()
    model.optimize_parameters()
    stops.append(world.stop_requested(step == 1 and world.rank == 1))
    calls_of_steps.append([*calls])
    losses.append(model.get_current_losses())
    assert model.step_images == count
weights = {{f"{{n}}.{{k}}": v for n, net in model.networks().items() for k, v in net.state_dict().items()}}
pools = [pool.state_dict() for name, pool in model.state_objects().items() if "pool" in name]
torch.save((weights, losses, pools, calls_of_steps, stops), f"{{out}}/result_{{world.world_size}}_{{world.rank}}.pt")
# Images of another size on each rank.
side = 32 + 4 * world.rank
images = torch.zeros(1, 3, side, side, dtype=torch.float64)
model.set_input({{"A": images, "B": images, "A_paths": ["0.png"], "B_paths": ["0.png"]}})
try:
    model.optimize_parameters()
    print("trained with several sizes", file=sys.stderr)
except UserError as error:
    print(error, file=sys.stderr)
"""
SMALL = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4", "--netD", "n_layers", "--n_layers_D", "1"]
SMALL += ["--crop_size", "32", "--load_size", "32", "--init_gain", "0.2"]
TRAINED = "trained with several sizes"
DIFFERENT = "--pool_size above 0 needs images of the same size on all ranks"
GATHERS = ["all_gather", "all_gather"]  # images of both pools


def launch(tmp_path: Path, program: str, count: int, *arguments: str, timeout: float = 200) -> tuple[str, str]:
    """Run a program in several processes; returns what it printed on stdout and stderr."""
    file = tmp_path / "program.py"
    file.write_text(program.format(root=str(ROOT)))
    options = ["--standalone", f"--nproc_per_node={count}"]
    done = forked.run("torch.distributed.run", [*options, str(file), *arguments], tmp_path, os.environ, timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def check_two_ranks(tmp_path: Path, left: int, flags: list[str], gathers: list[str], sizes: str) -> None:
    """Train in one process and in two; `sizes` is printed by two processes with images of different sizes."""
    for count in (1, 2):
        printed = launch(tmp_path, PROGRAM, count, str(tmp_path), str(left), *SMALL, *flags)[1]
        assert printed.count(sizes if count == 2 else TRAINED) == count
    alone, first, second = (
        torch.load(tmp_path / f"result_{name}.pt", weights_only=True) for name in ("1_0", "2_0", "2_1")
    )
    for (weights, losses, pools, calls, stops), rank in ((first, 0), (second, 1)):
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
        # One exchange of integers, and D's passes before the gradients of G (511 kB: two buckets) are needed.
        assert calls == [["integers", "all_reduce", "all_reduce", *gathers, "all_reduce", "finish", "finish"]] * 4
        # Rank 1 asked for a stop after the second step.
        assert stops == [False, False, True, False]
    assert alone[3] == [["finish", "finish"]] * 4


@pytest.mark.parametrize(
    ("left", "flags", "gathers", "sizes"),
    [
        (1, ["--pool_size", "0"], [], TRAINED),  # rank 1 has no image in the last step
        (1, ["--pool_size", "3"], GATHERS, DIFFERENT),
        # Rank 1 has one image in the last step: one micro-batch.
        (3, ["--pool_size", "0", "--accumulate", "2"], [], TRAINED),
    ],
)
def test_two_ranks_give_the_update_of_one_process(
    tmp_path: Path, left: int, flags: list[str], gathers: list[str], sizes: str
) -> None:
    check_two_ranks(tmp_path, left, [*flags, "--device", "cpu"], gathers, sizes)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_give_the_update_of_one(tmp_path: Path) -> None:
    check_two_ranks(tmp_path, 1, ["--pool_size", "3", "--device", "cuda"], GATHERS, DIFFERENT)


FAILING = """
import os, sys
sys.path.insert(0, {root!r})
os.environ["CUDA_VISIBLE_DEVICES"] = "0"  # both ranks on one GPU, which NCCL refuses
import torch
from util.errors import run_main
from util.runtime.processes import processes

def main():
    processes().all_reduce_mean([torch.ones(3, device="cuda")], 1, 2)

try:
    run_main(main)
except SystemExit as end:
    assert end.code == 1, end.code
"""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_error_of_nccl_is_shown(tmp_path: Path) -> None:
    printed = launch(tmp_path, FAILING, 2)[1]
    assert "error: NCCL failed: " in printed and "Duplicate GPU" in printed, printed
    assert "another process of this run has ended" not in printed


def test_pools_query_as_many_images_as_are_in_the_batch(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    model = create_model(options("--model", "template", "--batch_size", 2))
    model.setup(model.opt)
    model.set_input(noise(model, 2, 0))
    monkeypatch.setattr(model, "processes", Processes(rank=1, world_size=2))
    model.step_data.counts = [1, 2]
    with pytest.raises(UserError, match="query_pool got 4 images for 2 input images: with several processes, pass one"):
        model.query_pool(model.pool, torch.zeros(4, 3, 32, 32))


LEAVING = """
import atexit, os, sys
sys.path.insert(0, {root!r})
import torch.distributed as dist
# Runs after handlers registered later. One write for each line: the ranks share their output.
atexit.register(lambda: os.write(1, b"connected\\n" if dist.is_initialized() else b"left\\n"))
from util.runtime.processes import processes
world = processes()
sys.stdout = sys.__stdout__
for number in range(5):
    world.all_gather_ints(number)
assert dist.is_initialized()
"""


def test_the_process_group_is_destroyed_before_python_exits(tmp_path: Path) -> None:
    """Without this, a gloo thread may free a tensor while Python exits, and the process aborts (one in eight runs)."""
    out, _ = launch(tmp_path, LEAVING, 4, timeout=100)
    assert out.split() == ["left"] * 4
