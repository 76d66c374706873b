"""Count the operators of training steps on fake CUDA tensors, and what would wait for the device.

    python -m tests.fake_cuda.worker < cases.json > counts.json

Devices, types and shapes of fake tensors are real, their numbers are not computed. Cases are command lines of train.py,
by name. Runs in a process of its own, since it makes torch believe that there is a GPU; see `tests.fake_cuda.steps`.
"""

from __future__ import annotations

import collections
import contextlib
import io
import json
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch._subclasses.fake_tensor as fake_tensor
import torch.utils._foreach_utils as foreach_utils
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models import create_model
from options import TrainOptions
from util.runtime import random_state

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
STEPS = 2  # the first one creates the states of optimizers
VIEWS = {
    *("view", "_unsafe_view", "reshape", "t", "transpose", "permute", "expand", "slice", "select", "split"),
    *("split_with_sizes", "unbind", "unsqueeze", "squeeze", "detach", "alias", "as_strided", "diagonal", "chunk"),
    *("unflatten", "lift_fresh", "view_as", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
    *("is_same_size", "_has_compatible_shallow_copy_type", "record_stream", "set_", "resize_"),
}
READS = {"_local_scalar_dense", "is_nonzero", "equal", "nonzero"}  # the host needs their results


def on_gpu(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == "cuda"


class Watch(TorchDispatchMode):
    """Counts operators on the GPU by name, and waits for it by what waits and where."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: collections.Counter[str] = collections.Counter()
        self.waits: collections.Counter[str] = collections.Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if name in READS and any(map(on_gpu, inputs)):
            self.waits[f"{name} at {caller()}"] += 1
        if name in READS - {"nonzero"}:  # fake tensors have no numbers
            return 1.0 if inputs[0].dtype.is_floating_point else 1
        outputs = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
        if name in ("_to_copy", "copy_"):
            source, target = (inputs[0], made[0]) if name == "_to_copy" else (inputs[1], inputs[0])
            asynchronous = (kwargs or {}).get("non_blocking", False) or (name == "copy_" and args[2:3] == (True,))
            if source.device.type != target.device.type and not (asynchronous and on_gpu(target)):
                self.waits[f"copy from {source.device.type} to {target.device.type} at {caller()}"] += 1
        if func.namespace == "aten" and name not in VIEWS and any(map(on_gpu, [*inputs, *made])):
            self.operators[name] += 1
        return outputs


def caller() -> str:
    """The line of this project that is being run."""
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(ROOT / "models")]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def move(network: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    """nn.Module.to for fake tensors: it can't change the data of a parameter, so this makes new parameters."""
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.detach().to(*args, **kwargs), parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype).to(*args, **kwargs)
    return network


def batch(model: str, images: int) -> dict[str, Any]:
    channels = {"colorization": (1, 2)}.get(model, (3, 3))
    size = 256 if model == "pix2pix" or model == "colorization" else SIZE
    data: dict[str, Any] = {
        domain: torch.zeros(images, count, size, size) for domain, count in zip("AB", channels, strict=True)
    }
    return data | {f"{domain}_paths": [domain] * images for domain in "AB"}


def count(flags: list[str]) -> dict[str, Any]:
    """The operators and waits of the last of a few training steps with these flags of train.py."""
    opt = TrainOptions().parse([*flags, "--device", "cuda:0", "--seed", "1", "--ngf", "8", "--ndf", "8"])
    with fake_tensor.FakeTensorMode(allow_non_fake_inputs=True):
        random_state.seed_everything(opt.seed)
        with Watch():  # answers reads
            model = create_model(opt)
            model.setup(opt)
        for _ in range(STEPS):
            with Watch() as watch:
                model.set_input(batch(opt.model, opt.batch_size))
                model.optimize_parameters()
    return {"operators": watch.operators.total(), "waits": dict(watch.waits), "by name": dict(watch.operators)}


def pretend_to_have_a_gpu() -> contextlib.ExitStack:
    stack = contextlib.ExitStack()
    replaced: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "get_device_capability": lambda device=None: (9, 0),
        "is_bf16_supported": lambda *args, **kwargs: True,
        "manual_seed_all": lambda seed: None,
        "get_rng_state_all": list,
    }
    for name, value in replaced.items():
        stack.enter_context(mock.patch.object(torch.cuda, name, value))
    stack.enter_context(mock.patch.object(nn.Module, "to", move))
    stack.enter_context(mock.patch.object(fake_tensor, "init_gpu_context", lambda *args: None))
    supported = [*foreach_utils._foreach_supported_types, fake_tensor.FakeTensor]
    stack.enter_context(mock.patch.object(foreach_utils, "_foreach_supported_types", supported))
    return stack


def main() -> None:
    cases = json.load(sys.stdin)
    torch.autograd.set_multithreading_enabled(False)
    with pretend_to_have_a_gpu(), contextlib.redirect_stdout(io.StringIO()):
        counts = {name: count(flags) for name, flags in cases.items()}
    json.dump(counts, sys.stdout)


if __name__ == "__main__":
    main()
