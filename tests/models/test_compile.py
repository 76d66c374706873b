"""--compile with every objective and way to save memory: the first step as without, from networks that are compiled."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from models import create_model
from models.base_model import BaseModel
from tests.conftest import Options
from tests.models.test_cycle_gan import batch

VARIANTS = {
    "wgangp": ["--gan_mode", "wgangp"],
    "grad_checkpoint": ["--grad_checkpoint"],
    "grad_checkpoint with batch norm": ["--grad_checkpoint", "--norm", "batch"],
    "cut": ["--model", "cut"],
    "pix2pix": ["--model", "pix2pix", "--netG", "resnet_6blocks"],
}


def first_step(options: Options, *flags: str) -> tuple[dict[str, float], BaseModel]:
    torch.manual_seed(5)
    model = create_model(options("--pool_size", 0, "--no_dropout", *flags))
    model.setup(model.opt)
    torch.manual_seed(6)
    model.set_input(batch(model.opt, 0, dtype=torch.float32))
    model.optimize_parameters()
    return model.get_current_losses(), model


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="torch.compile needs a compiler")
@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS.keys())
def test_compiled_networks_give_the_losses_of_the_first_step(options: Options, flags: list[str]) -> None:
    plain, _ = first_step(options, *flags)
    torch._dynamo.reset()
    counters.clear()
    compiled, model = first_step(options, *flags, "--compile")
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert counters["stats"]["unique_graphs"] >= len(model.networks())
    assert not any("_orig_mod" in key for network in model.networks().values() for key in network.state_dict())
