"""--joint_passes: the same losses and gradients as separate passes, and when auto uses them."""

from __future__ import annotations

import argparse
from typing import Any

import pytest
import torch

from models import create_model
from models.base_model import BaseModel
from models.cycle_gan_model import CycleGANModel
from models.cycle_gan_options import CycleGANOptions
from tests.conftest import Options
from util.errors import UserError


def after_a_step(opt: argparse.Namespace, sizes: tuple[int, int] = (32, 32)) -> BaseModel:
    torch.manual_seed(5)
    model = create_model(opt)
    model.setup(opt)
    torch.manual_seed(6)
    data: dict[str, Any] = {name: torch.rand(2, 3, size, size) * 2 - 1 for name, size in zip("AB", sizes, strict=True)}
    model.set_input(data | {"A_paths": ["a", "b"], "B_paths": ["a", "b"]})
    model.optimize_parameters()
    return model


@pytest.mark.parametrize("sizes", [(32, 32), (32, 40)], ids=["one size", "two sizes"])
def test_losses_and_gradients_are_those_of_separate_passes(options: Options, sizes: tuple[int, int]) -> None:
    flags = ("--batch_size", 2, "--init_gain", 0.2, "--pool_size", 0)
    separate = after_a_step(options(*flags, "--joint_passes", "off"), sizes)
    joint = after_a_step(options(*flags, "--joint_passes", "on"), sizes)
    assert joint.get_current_losses() == pytest.approx(separate.get_current_losses(), rel=3e-7)
    for name, parameter in joint.netG_A.named_parameters():
        if parameter.dim() > 1:  # the gradient of a bias before an instance norm is rounding alone
            expected = dict(separate.netG_A.named_parameters())[name].grad
            assert torch.linalg.vector_norm(parameter.grad - expected) <= 5e-6 * torch.linalg.vector_norm(expected)
    for name, visual in separate.get_current_visuals().items():
        torch.testing.assert_close(joint.get_current_visuals()[name], visual, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("choice", "passes"), [("off", 6), ("on", 4)])
def test_passes_of_generators_in_a_step(options: Options, choice: str, passes: int) -> None:
    torch.manual_seed(5)
    model = create_model(options("--joint_passes", choice))
    calls: list[int] = []
    for network in (model.netG_A, model.netG_B):
        network.register_forward_hook(lambda network, inputs, output: calls.append(len(output)))
    model.setup(model.opt)
    data = {name: torch.zeros(1, 3, 32, 32) for name in "AB"}
    model.set_input(data | {"A_paths": ["a"], "B_paths": ["b"]})
    model.optimize_parameters()
    assert len(calls) == passes and sum(calls) == 6


class OtherIdentity(CycleGANModel):
    """A user's model with another identity loss."""

    def loss_idt_A(self) -> dict[str, torch.Tensor]:
        self.idt_A = self.netG_A(self.real_B)
        return {"idt_A": (self.idt_A - self.real_B).square().mean()}


def test_overridden_paths_are_used(options: Options) -> None:
    flags = ("--model", f"{__name__}:OtherIdentity", "--batch_size", 2, "--pool_size", 0)
    separate = after_a_step(options(*flags, "--joint_passes", "off"))
    joint = after_a_step(options(*flags, "--joint_passes", "on"))
    assert joint.get_current_losses() == pytest.approx(separate.get_current_losses(), rel=3e-7)


@pytest.mark.parametrize(
    ("device", "flags", "expected"),
    [
        ("cuda", [], "on"),
        ("cpu", [], "off"),
        ("mps", [], "off"),
        ("cuda", ["--norm", "batch"], "off"),
        ("cuda", ["--lambda_identity", "0"], "off"),
        ("cuda", ["--grad_checkpoint"], "off"),
        ("cuda", ["--accumulate", "2"], "off"),
        ("cuda", ["--dropout"], "on"),
    ],
)
def test_auto_depends_on_the_options_and_the_device(
    options: Options, device: str, flags: list[str], expected: str
) -> None:
    opt = options(*flags)
    assert opt.joint_passes == "auto"
    assert CycleGANOptions.automatic_values(opt, device) == {"joint_passes": expected}


@pytest.mark.parametrize(("flag", "value"), [("--norm", "batch"), ("--lambda_identity", "0")])
def test_joint_passes_that_would_change_the_losses_are_refused(options: Options, flag: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--joint_passes on: .*{flag}.*: use --joint_passes off$"):
        options(flag, value, "--joint_passes", "on")
