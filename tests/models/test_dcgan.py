"""DCGAN: networks, a training step against a reference implementation, fixed noise, interpolation of latents."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from data import create_dataset
from models import create_model
from models.dcgan_model import slerp
from models.image_pool import ImagePool
from models.networks.dcgan_networks import ImageDiscriminator, LatentGenerator
from options import TestOptions, TrainOptions
from tests.conftest import Options

TINY = ["--model", "dcgan", "--ngf", 2, "--ndf", 2, "--batch_size", 3, "--latent_size", 5]


@pytest.mark.parametrize(
    ("size", "channels"),
    [(32, [32, 16, 8]), (64, [64, 32, 16, 8]), (128, [64, 64, 32, 16, 8]), (256, [64, 64, 64, 32, 16, 8])],
)
def test_channels_halve_when_the_resolution_doubles(size: int, channels: list[int]) -> None:
    netG = LatentGenerator(5, 3, size=size, ngf=8, norm="batch")
    netD = ImageDiscriminator(3, size=size, ndf=8, norm="batch")
    ups = [layer for layer in netG.model if isinstance(layer, nn.ConvTranspose2d)]
    downs = [layer for layer in netD.model if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in ups] == [5, *channels]
    assert [layer.out_channels for layer in reversed(downs)] == [1, *channels]
    assert all(layer.kernel_size == (4, 4) for layer in [*ups, *downs])
    # No norm in the generator's last layer, nor in the discriminator's first and last.
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in netG.model) == len(channels)
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in netD.model) == len(channels) - 1
    images = netG(torch.randn(2, 5))
    assert images.shape == (2, 3, size, size) and images.abs().max() <= 1
    assert netD(images).shape == (2, 1, 1, 1)


@pytest.mark.parametrize("gan_mode", ["vanilla", "lsgan"])
def test_a_step_matches_the_reference(options: Options, gan_mode: str) -> None:
    model = create_model(options(*TINY, "--gan_mode", gan_mode))
    model.setup(model.opt)
    drawn = torch.cat([p.detach().flatten() for p in model.netG.parameters() if p.dim() > 1])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.1)
    for network in model.networks().values():
        network.double()
    G, D = copy.deepcopy(model.netG), copy.deepcopy(model.netD)
    A = torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (3, 3, 32, 32)))
    torch.manual_seed(5)
    model.set_input({"A": A, "A_paths": ["a", "b", "c"]})
    model.optimize_parameters()

    torch.manual_seed(5)
    z = torch.randn(3, 5, dtype=torch.float64)
    g, d = (torch.optim.Adam(network.parameters(), lr=0.0002, betas=(0.5, 0.999)) for network in (G, D))

    def gan(logits: Tensor, real: bool) -> Tensor:
        if gan_mode == "lsgan":
            return ((logits - float(real)) ** 2).mean()
        return nn.functional.softplus(-logits if real else logits).mean()

    fake = G(z)
    loss_G = gan(D(fake), True)
    loss_G.backward()
    g.step()
    d.zero_grad()
    loss_D = (gan(D(A), True) + gan(D(fake.detach()), False)) / 2
    loss_D.backward()
    d.step()
    assert model.get_current_losses() == pytest.approx({"G": loss_G.item(), "D": loss_D.item()}, rel=1e-10)
    for network, expected in ((model.netG, G), (model.netD, D)):
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, expected.state_dict()[key], rtol=1e-8, atol=1e-12)


def test_samples_use_fixed_noise_and_change_no_state(options: Options) -> None:
    model = create_model(options(*TINY, "--seed", 3))
    model.setup(model.opt)
    model.set_input({"A": torch.rand(3, 3, 32, 32), "A_paths": ["a", "b", "c"]})
    model.optimize_parameters()
    before, random = copy.deepcopy(model.netG.state_dict()), torch.get_rng_state()
    samples = model.get_current_visuals()["samples"]
    assert samples.shape == (1, 3, 8 * 32, 8 * 32)
    assert torch.equal(model.get_current_visuals()["samples"], samples)
    assert all(torch.equal(value, before[key]) for key, value in model.netG.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random) and model.netG.training
    # The third image of the second row belongs to latent 10.
    model.netG.eval()
    expected = model.netG(model.fixed_noise.z)[10]
    torch.testing.assert_close(samples[0, :, 32:64, 64:96], expected)

    again = create_model(options(*TINY, "--seed", 4))
    assert not torch.equal(again.fixed_noise.z, model.fixed_noise.z)
    again.fixed_noise.load_state_dict(model.fixed_noise.state_dict())
    assert torch.equal(again.fixed_noise.z, model.fixed_noise.z)


def test_real_and_generated_images_are_augmented(options: Options) -> None:
    model = create_model(options(*TINY, "--augment", "diffaug"))
    model.setup(model.opt)
    seen: list[Tensor] = []
    model.netD.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0]))
    model.set_input({"A": torch.rand(3, 3, 32, 32), "A_paths": ["a", "b", "c"]})
    model.optimize_parameters()
    assert len(seen) == 9  # generated for G, real and generated for D
    assert all((image == 0).all(dim=0).any() for image in seen)  # the cutout
    assert all(parameter.grad.isfinite().all() for parameter in model.netG.parameters())
    assert isinstance(model.pool, ImagePool) and model.pool.size == 0


def test_slerp_follows_the_great_circle() -> None:
    start, end = torch.tensor([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 3.0], [-1.0, 0.0], [2.0, 0.0]])
    torch.testing.assert_close(slerp(start, end, 0.0), start)
    torch.testing.assert_close(slerp(start, end, 1.0), end)
    third = slerp(start, end, 1 / 3)
    torch.testing.assert_close(third[0], torch.tensor([3 * math.cos(math.pi / 6), 3 * math.sin(math.pi / 6)]))
    torch.testing.assert_close(third[1], torch.tensor([1 / 3, 0.0]))  # linear for opposite latents
    torch.testing.assert_close(third[2], start[2])


def test_samples_do_not_depend_on_the_batch_size(options: Options) -> None:
    model = create_model(options(*TINY, "--name", "trained"))
    model.setup(model.opt)
    model.folder.mkdir(parents=True)
    model.save_networks("latest")
    files = TrainOptions()
    files.save(files.parse(_argv(model.opt)), model.folder, {})
    found = []
    for size in (1, 4):
        where = ["--dataroot", "/nowhere", "--checkpoints_dir", model.opt.checkpoints_dir, "--name", "trained"]
        opt = TestOptions().parse([*where, "--num_test", "4", "--batch_size", str(size), "--num_threads", "0"])
        assert (opt.model, opt.dataset_mode, opt.latent_size, opt.crop_size) == ("dcgan", "latent", 5, 32)
        tested = create_model(opt)
        tested.setup(opt)
        assert not tested.depends_on_batch
        rows = []
        for batch in create_dataset(opt):
            tested.set_input(batch)
            tested.test()
            rows += tested.translations(batch)
        found.append(rows)
    for one, other in zip(*found, strict=True):
        assert one.path == other.path and list(one.visuals) == ["fake", *(f"walk_{i}" for i in range(1, 8))]
        for name, image in one.visuals.items():
            torch.testing.assert_close(image, other.visuals[name])
    assert [row.path for row in found[0]] == [f"sample_000{i}" for i in range(1, 5)]
    assert not torch.equal(found[0][0].visuals["fake"], found[0][1].visuals["fake"])


def _argv(opt: object) -> list[str]:
    names = ("dataroot", "checkpoints_dir", "name", "model", "ngf", "ndf", "latent_size", "crop_size", "load_size")
    return [part for name in names for part in (f"--{name}", str(getattr(opt, name)))]
