"""--compile: no network is compiled again after the first steps. With a backend that generates no code."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import torch
from torch._dynamo.utils import counters

from tests.conftest import Options
from tests.models.test_graphed_step import build, train
from util.runtime import compilation

VARIANTS = {
    "cycle_gan": ["--netG", "resnet_6blocks"],
    "joint passes": ["--joint_passes", "on"],
    "wgangp": ["--gan_mode", "wgangp"],
    "grad_checkpoint": ["--grad_checkpoint"],
    "cut": ["--model", "cut"],
    "FastCUT": ["--model", "cut", "--CUT_mode", "FastCUT"],
}


@pytest.fixture(autouse=True)
def quick_backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    compile_in_place = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(compile_in_place, backend="eager"))
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name)
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.parametrize("flags", VARIANTS.values(), ids=VARIANTS.keys())
def test_later_steps_compile_nothing(options: Options, flags: list[str]) -> None:
    plain = train(build(options, *flags), 4)
    model = build(options, *flags, "--compile")
    first = train(model, 4)
    graphs = counters["stats"]["unique_graphs"]
    assert first[0] == pytest.approx(plain[0], rel=1e-4) and graphs >= len(model.networks())
    train(model, 4)
    assert counters["stats"]["unique_graphs"] == graphs
    assert not any("_orig_mod" in key for network in model.networks().values() for key in network.state_dict())
