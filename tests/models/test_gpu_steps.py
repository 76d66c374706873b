"""Training steps of every model on a GPU: the losses of the CPU, where no random numbers are drawn on the device."""

from __future__ import annotations

import math

import pytest
import torch

from models import create_model
from tests.conftest import Options
from tests.models.test_registry_sweep import TRAINABLE
from util.runtime.random_state import seed_everything

# Without a GPU, these tests compare a CPU with itself: that checks the tests.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
pytestmark = pytest.mark.gpu if torch.cuda.is_available() else pytest.mark.slow
STEPS = 3
# Latent vectors of dcgan and patches of cut are drawn on the device.
DRAWS = {"cut", "dcgan"}
FLAGS = {
    "pix2pix": ["--no_dropout"],
    "colorization": ["--no_dropout"],
    "pix2pix_hd": ["--netD", "n_layers", "--n_layers_D", "2"],
}


def losses_of_steps(options: Options, name: str, *flags: str) -> list[dict[str, float]]:
    """The losses of a few steps on random images; the weights are those of one seed on every device."""
    opt = options("--model", name, "--batch_size", 2, *FLAGS.get(name, []), *flags)
    seed_everything(opt.seed)
    model = create_model(opt)
    model.setup(opt)
    random = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(STEPS):
        channels = {"A": opt.input_nc, "B": getattr(opt, "output_nc", 3)}
        batch = {
            domain: torch.rand(2, count, opt.crop_size, opt.crop_size, generator=random) * 2 - 1
            for domain, count in channels.items()
        }
        model.set_input(batch | {f"{domain}_paths": ["0.png", "1.png"] for domain in "AB"})
        model.optimize_parameters()
        losses.append(model.get_current_losses())
    return losses


@pytest.mark.parametrize("precision", ["fp32", "auto", "bf16", "fp16"])
@pytest.mark.parametrize("name", TRAINABLE)
def test_losses_on_a_gpu(options: Options, name: str, precision: str) -> None:
    found = losses_of_steps(options, name, "--device", DEVICE, "--precision", precision)
    assert all(found) and all(math.isfinite(loss) for losses in found for loss in losses.values())
    if name not in DRAWS:
        expected = losses_of_steps(options, name, "--device", "cpu", "--precision", "fp32")
        tolerance = {"fp32": 1e-4, "auto": 5e-3, "fp16": 5e-3, "bf16": 3e-2}[precision]
        assert found[0] == pytest.approx(expected[0], rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    "flags",
    [
        ["--gan_mode", "wgangp"],
        ["--gan_mode", "vanilla", "--ema_decay", "0.9"],
        ["--augment", "diffaug"],
        ["--grad_checkpoint", "--accumulate", "2"],
        ["--norm", "batch", "--channels_last"],
    ],
    ids=" ".join,
)
def test_objectives_on_a_gpu(options: Options, flags: list[str]) -> None:
    found = losses_of_steps(options, "cycle_gan", "--device", DEVICE, "--precision", "fp32", *flags)
    assert all(math.isfinite(loss) for losses in found for loss in losses.values())
    if not {"wgangp", "diffaug"} & {*flags}:  # both draw random numbers on the device
        expected = losses_of_steps(options, "cycle_gan", "--device", "cpu", "--precision", "fp32", *flags)
        assert found[0] == pytest.approx(expected[0], rel=1e-4, abs=1e-4)
