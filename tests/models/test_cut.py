"""CUT and FastCUT in float64: a training step against a reference implementation, PatchNCE against its equation."""

from __future__ import annotations

import argparse
import copy
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel
from models.networks.generators import create_generator
from models.objectives.contrastive import PatchProjection, draw_positions, patch_nce_loss
from tests.conftest import Options
from tests.models.test_cycle_gan import TINY, Build, batch, draw_weights, train
from util.errors import UserError
from util.runs.init_from import load_initial_weights

CUT = ["--model", "cut", *TINY, "--num_patches", "9", "--netF_nc", "5"]
FAST = [*CUT, "--CUT_mode", "FastCUT"]
ROLES = ["pixels", "down1", "down2", "first_block", "middle_block"]


@pytest.fixture
def build(options: Options) -> Build:
    """A factory of models in float64 with fixed weights, ready to train."""

    def build(*flags: object) -> BaseModel:
        opt = options(*flags)
        model = create_model(opt)
        draw_weights(model)
        model.setup(opt)
        return model

    return build


# PatchNCE.


def directions(*shape: int, seed: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values / values.norm(dim=-1, keepdim=True)


def test_patch_nce_loss_matches_its_equation() -> None:
    queries, keys, temperature = directions(2, 7, 4, seed=0), directions(2, 7, 4, seed=1), 0.07
    each = []
    for query_image, key_image in zip(queries.numpy(), keys.numpy(), strict=True):
        for place, query in enumerate(query_image):
            likeness = [math.exp(np.dot(query, key) / temperature) for key in key_image]
            each.append(-math.log(likeness[place] / sum(likeness)))  # negatives are from the same image only
    assert patch_nce_loss(queries, keys, temperature).item() == pytest.approx(np.mean(each), rel=1e-12)


def test_patch_nce_loss_is_small_for_matching_patches() -> None:
    own = torch.eye(6, dtype=torch.float64).expand(1, 6, 6)
    assert patch_nce_loss(own, own, 0.07).item() == pytest.approx(math.log(1 + 5 * math.exp(-1 / 0.07)), rel=1e-9)
    assert patch_nce_loss(own, own.roll(1, dims=1), 0.07) > 10
    same = torch.ones(1, 6, 1)
    assert patch_nce_loss(same, same, 0.07).item() == pytest.approx(math.log(6))


def test_no_gradient_flows_into_the_keys() -> None:
    queries, keys = directions(1, 5, 3, seed=0).requires_grad_(), directions(1, 5, 3, seed=1).requires_grad_()
    patch_nce_loss(queries, keys, 0.5).backward()
    assert keys.grad is None and queries.grad.abs().max() > 0


def test_positions_are_distinct_and_depend_on_the_seed() -> None:
    features = {"wide": torch.zeros(2, 3, 4, 6), "small": torch.zeros(2, 8, 2, 2)}
    torch.manual_seed(4)
    drawn = draw_positions(features, 10)
    assert {name: len(set(places.tolist())) for name, places in drawn.items()} == {"wide": 10, "small": 4}
    assert drawn["wide"].min() >= 0 and drawn["wide"].max() < 24
    assert not torch.equal(draw_positions(features, 10)["wide"], drawn["wide"])
    torch.manual_seed(4)
    assert torch.equal(draw_positions(features, 10)["wide"], drawn["wide"])


def test_projection_is_a_two_layer_mlp_to_unit_vectors() -> None:
    torch.manual_seed(0)
    netF = PatchProjection({"a": 3, "b": 2}, width=4).double()
    features = {name: torch.randn(2, nc, 3, 5, dtype=torch.float64) for name, nc in (("a", 3), ("b", 2))}
    positions = {"a": torch.tensor([7, 0, 14]), "b": torch.tensor([2])}
    made = netF(features, positions)
    assert {name: tuple(values.shape) for name, values in made.items()} == {"a": (2, 3, 4), "b": (2, 1, 4)}
    weights = {name: value.numpy() for name, value in netF.state_dict().items()}
    assert len(weights) == 8
    for name, places in positions.items():
        for image in range(2):
            for i, place in enumerate(places.tolist()):
                x = features[name][image, :, place // 5, place % 5].numpy()
                x = np.maximum(weights[f"mlp.{name}.0.weight"] @ x + weights[f"mlp.{name}.0.bias"], 0)
                x = weights[f"mlp.{name}.2.weight"] @ x + weights[f"mlp.{name}.2.bias"]
                np.testing.assert_allclose(made[name][image, i].detach().numpy(), x / np.linalg.norm(x), rtol=1e-10)


# The encoder's features.


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize(("netG", "middle"), [("resnet_9blocks", 14), ("resnet_6blocks", 12)])
def test_the_generator_gives_features_by_name(netG: str, middle: int, norm: str) -> None:
    torch.manual_seed(0)
    network = create_generator(netG, input_nc=3, output_nc=2, ngf=4, norm=norm).double()
    x = torch.rand(2, 3, 16, 24, dtype=torch.float64)
    image, features = network.forward_with_features(x)
    assert torch.equal(image, network(x))
    assert {name: values.shape[1] for name, values in features.items()} == network.feature_channels
    assert list(features) == ROLES
    # The outputs of convolutions and residual blocks, by layer indices of the published layout.
    expected = [x] + [nn.Sequential(*network.model[: last + 1])(x) for last in (4, 7, 10, middle)]
    if norm == "none":  # the in-place ReLU must not overwrite the features
        assert features["down1"].min() < 0 and features["down2"].min() < 0
    for values, wanted in zip(features.values(), expected, strict=True):
        torch.testing.assert_close(values, wanted, rtol=1e-12, atol=1e-12)

    called: Counter[int] = Counter()
    for place, layer in enumerate(network.model):
        layer.register_forward_hook(lambda *_, place=place: called.update([place]))
    encoded = network.encode(x)
    assert set(called) == set(range(middle + 1))
    assert all(torch.equal(encoded[name], values) for name, values in features.items())


# A training step.


def reference_features(netG: nn.Module, x: Tensor) -> list[Tensor]:
    """The features of resnet_6blocks, by layer indices of the published layout."""
    found = [x]
    for place, layer in enumerate(netG.model[:13]):
        x = layer(x)
        if place in (4, 7, 10, 12):
            found.append(x)
    return found


def reference_projection(netF: nn.Module, features: list[Tensor], positions: list[Tensor]) -> list[Tensor]:
    made = []
    for mlp, values, places in zip(netF.mlp.values(), features, positions, strict=True):
        rows = values.permute(0, 2, 3, 1).flatten(1, 2)[:, places]
        rows = F.linear(F.linear(rows, mlp[0].weight, mlp[0].bias).relu(), mlp[2].weight, mlp[2].bias)
        made.append(rows / rows.norm(dim=-1, keepdim=True))
    return made


def reference_step(opt: argparse.Namespace, nets: dict[str, nn.Module], A: Tensor, B: Tensor) -> dict[str, float]:
    """Park et al. 2020 as in the authors' code: one pass over A and B, D first, one optimizer for each network."""
    netG, netF, netD = nets["G"], nets["F"], nets["D"]
    adams = {n: torch.optim.Adam(net.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999)) for n, net in nets.items()}
    flipped = opt.flip_equivariance and torch.rand(()).item() < 0.5

    def nce(source: Tensor, made: Tensor) -> Tensor:
        keys = [values.detach() for values in reference_features(netG, source)]
        positions = [torch.randperm(values[0, 0].numel())[: opt.num_patches] for values in keys]
        queries = [values.flip(3) if flipped else values for values in reference_features(netG, made)]
        total = 0
        for query, key in zip(
            reference_projection(netF, queries, positions), reference_projection(netF, keys, positions), strict=True
        ):
            logits = torch.einsum("npc,nqc->npq", query, key.detach()) / opt.nce_T
            total = total + (logits.logsumexp(2) - logits.diagonal(dim1=1, dim2=2)).mean()
        return opt.lambda_NCE * total / len(keys)

    real = torch.cat([A, B]) if opt.nce_idt else A
    made = netG(real.flip(3) if flipped else real)
    fake = made[: len(A)]
    losses = {"D": (((netD(B) - 1) ** 2).mean() + (netD(fake.detach()) ** 2).mean()) / 2}
    adams["D"].zero_grad()
    losses["D"].backward()
    adams["D"].step()
    losses["G_GAN"] = opt.lambda_GAN * ((netD(fake) - 1) ** 2).mean()
    losses["NCE"] = nce(A, fake)
    if opt.nce_idt:
        losses["NCE"] = losses["NCE"] / 2
        losses["NCE_Y"] = nce(B, made[len(A) :]) / 2
    for name in "GF":
        adams[name].zero_grad()
    sum(loss for name, loss in losses.items() if name != "D").backward()
    for name in "GF":
        adams[name].step()
    return {name: loss.item() for name, loss in losses.items()}


def seed_for_flip(flips: bool) -> int:
    """A seed with which FastCUT flips the first step (`flips`), or does not."""
    return next(s for s in range(99) if (torch.rand((), generator=torch.Generator().manual_seed(s)) < 0.5) == flips)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize(
    "flags",
    [
        CUT,
        FAST,
        [*CUT, "--nce_idt", "False", "--lambda_NCE", "3", "--nce_T", "0.3", "--lambda_GAN", "0.5"],
        [*FAST, "--nce_idt", "--direction", "BtoA"],
    ],
)
def test_a_step_matches_the_reference(build: Build, flags: list[str], flips: bool) -> None:
    model = build(*flags)
    nets = copy.deepcopy(model.networks())
    assert list(nets) == ["G", "F", "D"]
    before = {name: net.state_dict() for name, net in copy.deepcopy(nets).items()}
    data = batch(model.opt, 0, count=2)
    seed = seed_for_flip(flips)
    torch.manual_seed(seed)
    model.set_input(data)
    assert model.is_flipped is (flips and model.opt.flip_equivariance)
    model.optimize_parameters()
    A, B = ("A", "B") if model.opt.direction == "AtoB" else ("B", "A")
    torch.manual_seed(seed)
    expected = reference_step(model.opt, nets, data[A], data[B])
    assert model.get_current_losses() == pytest.approx(expected, rel=1e-9)
    for name, network in model.networks().items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, nets[name].state_dict()[key], rtol=1e-7, atol=1e-11)
        assert not torch.equal(next(network.parameters()), next(iter(before[name].values()))), name


def passes(model: BaseModel) -> tuple[int, int]:
    """The numbers of forward passes of the generator's encoder and of the whole generator in a step."""
    counted: Counter[str] = Counter()
    model.netG.model[1].register_forward_hook(lambda *_: counted.update(["first"]))
    model.netG.model[-1].register_forward_hook(lambda *_: counted.update(["last"]))
    train(model, 1)
    return counted["first"], counted["last"]


@pytest.mark.parametrize(
    ("flags", "flips", "expected"),
    [
        ("", False, (4, 2)),
        ("--nce_idt False", False, (2, 1)),
        ("--lambda_NCE 0", False, (1, 1)),
        ("--lambda_GAN 0", False, (4, 2)),
        ("--CUT_mode FastCUT", False, (2, 1)),
        ("--CUT_mode FastCUT", True, (3, 1)),
    ],
)
def test_no_forward_pass_is_repeated(build: Build, flags: str, flips: bool, expected: tuple[int, int]) -> None:
    model = build(*CUT, *flags.split())
    torch.manual_seed(seed_for_flip(flips))
    assert passes(model) == expected


@pytest.mark.parametrize(
    ("flags", "losses", "networks"),
    [
        ("", {"D", "G_GAN", "NCE", "NCE_Y"}, ["G", "F", "D"]),
        ("--nce_idt False", {"D", "G_GAN", "NCE"}, ["G", "F", "D"]),
        ("--CUT_mode FastCUT", {"D", "G_GAN", "NCE"}, ["G", "F", "D"]),
        ("--lambda_NCE 0", {"D", "G_GAN"}, ["G", "D"]),
        ("--lambda_GAN 0", {"NCE", "NCE_Y"}, ["G", "F"]),
    ],
)
def test_a_loss_with_weight_zero_is_absent(build: Build, flags: str, losses: set[str], networks: list[str]) -> None:
    model = build(*CUT, *flags.split())
    (step,) = train(model, 1)
    assert set(step) == losses and list(model.networks()) == networks
    assert ("idt_B" in model.get_current_visuals()) == ("NCE_Y" in losses)


def test_half_of_the_steps_are_flipped_and_visuals_are_flipped_back(build: Build) -> None:
    model = build(*FAST)
    torch.manual_seed(0)
    seen = []
    for i in range(200):
        model.set_input(batch(model.opt, i))
        seen.append(model.is_flipped)
    assert 70 < sum(seen) < 130
    torch.manual_seed(seed_for_flip(True))
    model.set_input(data := batch(model.opt, 0))
    expected = model.netG(data["A"].flip(3)).flip(3)
    model.optimize_parameters()
    shown = model.get_current_visuals()
    assert list(shown) == ["real_A", "fake_B", "real_B"]
    assert torch.equal(shown["fake_B"], expected.detach()) and torch.equal(shown["real_A"], data["A"])


def test_nce_loss_decreases(build: Build) -> None:
    model = build(*CUT, "--lambda_GAN", "0", "--lr", "0.01")
    data, objective = batch(model.opt, 0), []
    for _ in range(30):
        torch.manual_seed(0)  # the same patches
        model.set_input(data)
        model.optimize_parameters()
        objective.append(model.get_current_losses()["NCE"])
    assert objective[-1] < 0.7 * objective[0]


def test_plateau_monitors_the_generator_loss(build: Build) -> None:
    model = build(*CUT, "--lr_policy", "plateau")
    seen = train(model, 2)
    expected = np.mean([sum(value for name, value in step.items() if name != "D") for step in seen])
    assert model.epoch_loss.mean() == pytest.approx(expected)


def test_discriminator_sees_stored_translations(build: Build) -> None:
    def losses(*flags: object) -> list[dict[str, float]]:
        torch.manual_seed(0)
        return train(build(*CUT, *flags), 8)

    pooled, fresh = losses("--pool_size", 1), losses()
    assert pooled[0] == fresh[0] and pooled[-1]["D"] != fresh[-1]["D"]


# Testing.


def build_for_testing(options: Options, *flags: object) -> tuple[BaseModel, dict[str, Any]]:
    opt = options("--model", "cut", *TINY, *flags)
    opt.is_train = False
    model = create_model(opt)
    return model, batch(opt, 0, count=2, dtype=torch.float32)


@pytest.mark.parametrize(("direction", "source", "target"), [("AtoB", "A", "B"), ("BtoA", "B", "A")])
def test_translations_have_the_ground_truth_of_the_target_folder(
    options: Options, direction: str, source: str, target: str
) -> None:
    model, data = build_for_testing(options, "--direction", direction)
    model.set_input(data | {f"{target}_truth": [None, "b1"], f"{source}_truth": ["a0", None]})
    model.test()
    found = model.translations(data | {f"{target}_truth": [None, "b1"], f"{source}_truth": ["a0", None]})
    assert [(t.path, list(t.visuals), t.truth) for t in found] == [
        (f"{source}0_0.png", ["real_A", "fake_B"], {}),
        (f"{source}0_1.png", ["real_A", "fake_B"], {"fake_B": "b1"}),
    ]
    assert torch.equal(found[1].visuals["fake_B"], model.netG(data[source])[1].detach())


def test_translate_returns_the_generators_output(options: Options) -> None:
    model, data = build_for_testing(options)
    with torch.no_grad():
        assert torch.equal(model.translate(data["A"]), model.netG(data["A"]))


def test_testing_needs_one_domain_and_training_two(options: Options, build: Build) -> None:
    model, data = build_for_testing(options, "--dataset_mode", "single")
    alone = {name: data[name] for name in ("A", "A_paths")}
    model.set_input(alone)
    model.test()
    assert [t.truth for t in model.translations(alone)] == [{}, {}]
    with pytest.raises(UserError, match=r"^--dataset_mode single has one domain, but --model cut needs two: .* test$"):
        build(*CUT, "--dataset_mode", "single").set_input(alone)


def save_antialiased_weights(path: Path) -> None:
    """Save weights like those published for CUT, with blur filters of antialiased down- and upsampling."""
    weights = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2).state_dict()
    path.parent.mkdir(parents=True)
    torch.save(weights | {"model.7.filt": torch.ones(4, 1, 3, 3)}, path)


@pytest.mark.parametrize("partial", [[], ["--init_partial"]])
def test_antialiased_weights_are_an_error(options: Options, tmp_path: Path, partial: list[str]) -> None:
    file = tmp_path / "checkpoints" / "published" / "latest_net_G.pth"
    save_antialiased_weights(file)
    sentence = r"latest_net_G\.pth has antialiased sampling \(model\.7\.filt\), as published CUT weights do; no "
    opt = options("--model", "cut", *TINY, "--init_from", file, *partial)
    with pytest.raises(UserError, match=sentence):
        load_initial_weights(create_model(opt).networks(), opt)
    model, _ = build_for_testing(options, "--name", "published")
    with pytest.raises(UserError, match=sentence):
        model.setup(model.opt)
