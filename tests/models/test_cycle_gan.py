"""CycleGAN in float64: training steps against a reference implementation, ablations, non-finite losses, resuming."""

from __future__ import annotations

import argparse
import copy
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel
from tests.conftest import Options
from util.errors import TrainingDiverged, UserError
from util.runs.checkpoint import Checkpoint
from util.runs.weights import load_weights
from util.runtime.random_state import RandomState

ALL_LOSSES = {"D_A", "G_A", "cycle_A", "idt_A", "D_B", "G_B", "cycle_B", "idt_B"}
Build = Callable[..., BaseModel]
# Tiny networks. A discriminator with two layers needs at least 12 pixels.
TINY = ["--ngf", "2", "--ndf", "2", "--netD", "n_layers", "--n_layers_D", "2", "--crop_size", "16"]


def draw_weights(model: BaseModel, seed: int = 0) -> None:
    """Convert to float64 and draw weights with numpy's RandomState, whose stream is guaranteed to stay the same."""
    random = np.random.RandomState(seed)
    for network in model.networks().values():
        network.double()
        for parameter in network.parameters():
            parameter.data = torch.from_numpy(np.asarray(random.standard_normal(tuple(parameter.shape)) * 0.1))


def batch(opt: argparse.Namespace, seed: int, count: int = 1, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """A batch of random noise images of both domains, in the format of a loader."""
    random = np.random.RandomState(1000 + seed)
    size = opt.crop_size
    nc = {"A": opt.input_nc, "B": opt.output_nc}
    nc = nc if opt.direction == "AtoB" else {"A": nc["B"], "B": nc["A"]}
    images = {name: torch.from_numpy(random.uniform(-1, 1, (count, nc[name], size, size))).to(dtype) for name in "AB"}
    return images | {f"{name}_paths": [f"{name}{seed}_{i}.png" for i in range(count)] for name in "AB"}


@pytest.fixture
def build(options: Options) -> Build:
    """A factory of models in float64 with fixed weights, ready to train."""

    def build(*flags: object) -> BaseModel:
        opt = options("--pool_size", 0, *flags)
        model = create_model(opt)
        draw_weights(model)
        model.setup(opt)
        return model

    return build


def train(model: BaseModel, steps: int, first: int = 0, count: int = 1) -> list[dict[str, float]]:
    """The losses of each of `steps` training steps."""
    seen = []
    for i in range(first, first + steps):
        model.set_input(batch(model.opt, i, count))
        model.optimize_parameters()
        seen.append(model.get_current_losses())
    return seen


def reference_step(opt: argparse.Namespace, nets: dict[str, nn.Module], A: Tensor, B: Tensor) -> dict[str, float]:
    """Zhu et al. 2017, equation 3, as one graph; G first, then D with fakes from before G's update."""
    g = torch.optim.Adam([*nets["G_A"].parameters(), *nets["G_B"].parameters()], lr=opt.lr, betas=(opt.beta1, 0.999))
    d = torch.optim.Adam([*nets["D_A"].parameters(), *nets["D_B"].parameters()], lr=opt.lr, betas=(opt.beta1, 0.999))

    def gan(logits: Tensor, real: bool) -> Tensor:
        if opt.gan_mode == "lsgan":
            return ((logits - float(real)) ** 2).mean()
        return nn.functional.softplus(-logits if real else logits).mean()

    def away(x: Tensor, y: Tensor) -> Tensor:
        """1 - the correlation of the opponent channels blue - red and green - (red + blue) / 2."""
        mix = torch.tensor([[-1, 0, 1], [-0.5, 1, -0.5]], dtype=x.dtype)
        x, y = (torch.einsum("kc,nchw->knhw", mix, nn.functional.avg_pool2d(z, 4)).flatten(1) for z in (x, y))
        x, y = (z - z.mean(1, keepdim=True) for z in (x, y))
        return (1 - (x * y).mean(1) / (((x**2).mean(1) + 1e-5) * ((y**2).mean(1) + 1e-5)).sqrt()).mean()

    # The order of the forward passes affects the running statistics of batch norm.
    fake_B = nets["G_A"](A)
    rec_A = nets["G_B"](fake_B)
    fake_A = nets["G_B"](B)
    rec_B = nets["G_A"](fake_A)
    losses = {
        "G_A": gan(nets["D_A"](fake_B), True),
        "G_B": gan(nets["D_B"](fake_A), True),
        "cycle_A": opt.lambda_A * (rec_A - A).abs().mean(),
        "cycle_B": opt.lambda_B * (rec_B - B).abs().mean(),
    }
    if opt.lambda_identity > 0:
        losses["idt_A"] = opt.lambda_identity * opt.lambda_B * (nets["G_A"](B) - B).abs().mean()
        losses["idt_B"] = opt.lambda_identity * opt.lambda_A * (nets["G_B"](A) - A).abs().mean()
    if opt.lambda_color > 0:
        losses["color_A"] = opt.lambda_color * away(fake_B, A)
        losses["color_B"] = opt.lambda_color * away(fake_A, B)
    g.zero_grad()
    sum(losses.values()).backward()
    g.step()
    losses["D_A"] = (gan(nets["D_A"](B), True) + gan(nets["D_A"](fake_B.detach()), False)) / 2
    losses["D_B"] = (gan(nets["D_B"](A), True) + gan(nets["D_B"](fake_A.detach()), False)) / 2
    d.zero_grad()
    (losses["D_A"] + losses["D_B"]).backward()
    d.step()
    return {name: loss.item() for name, loss in losses.items()}


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--gan_mode", "vanilla", "--lambda_A", "7", "--lambda_B", "3", "--lambda_identity", "0.3", "--beta1", "0.7"],
        ["--norm", "batch", "--direction", "BtoA"],
        ["--lambda_color", "2", "--norm", "batch"],
        ["--input_nc", "1", "--output_nc", "2", "--lambda_identity", "0", "--direction", "BtoA"],
    ],
)
def test_a_step_matches_the_reference(build: Build, flags: list[str]) -> None:
    model = build(*flags)
    nets = copy.deepcopy(model.networks())
    assert set(nets) == {"G_A", "G_B", "D_A", "D_B"}
    before = {name: network.state_dict() for name, network in copy.deepcopy(nets).items()}
    data = batch(model.opt, 0, count=2)
    model.set_input(data)
    model.optimize_parameters()
    A, B = ("A", "B") if model.opt.direction == "AtoB" else ("B", "A")
    expected = reference_step(model.opt, nets, data[A], data[B])
    assert model.get_current_losses() == pytest.approx(expected, rel=1e-10)
    assert model.get_image_paths() == data[f"{A}_paths"]
    for name, network in model.networks().items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, nets[name].state_dict()[key], rtol=1e-8, atol=1e-12)
        assert not torch.equal(next(network.parameters()), next(iter(before[name].values()))), name


# Losses of the fifth step from the weights of `draw_weights`. Only a change of the method may change them.
PINNED = {
    "instance": {
        **{"G_A": 1.20950144, "cycle_A": 6.65632214, "idt_A": 3.44135253, "D_A": 2.34102953},
        **{"G_B": 0.953712298, "cycle_B": 6.7927013, "idt_B": 3.24482981, "D_B": 0.609173268},
    },
    "batch": {
        **{"G_A": 0.596899969, "cycle_A": 5.01013153, "idt_A": 2.48635983, "D_A": 0.290270296},
        **{"G_B": 0.49599114, "cycle_B": 4.97905261, "idt_B": 2.50637476, "D_B": 0.298394061},
    },
}


@pytest.mark.parametrize("norm", PINNED)
def test_five_steps_give_pinned_losses(build: Build, norm: str) -> None:
    model = build("--lr", "0.002", "--norm", norm)
    assert train(model, 5)[-1] == pytest.approx(PINNED[norm], rel=1e-6)


def test_discriminators_see_stored_fakes(build: Build) -> None:
    pooled, fresh = build(*TINY, "--pool_size", "1"), build(*TINY)
    one, other = train(pooled, 8), train(fresh, 8)
    assert one[0] == other[0]
    assert one[-1]["D_A"] != other[-1]["D_A"]
    assert len(pooled.fake_B_pool.images) == len(pooled.fake_A_pool.images) == 1


# Ablations: a loss with weight 0 is neither logged nor computed.

GENERATOR_CALLS = {
    # options: (losses, forward passes of each network in a step)
    "": (ALL_LOSSES, {"G_A": 3, "G_B": 3, "D_A": 2, "D_B": 2}),
    "--lambda_identity 0": (ALL_LOSSES - {"idt_A", "idt_B"}, {"G_A": 2, "G_B": 2, "D_A": 2, "D_B": 2}),
    "--lambda_A 0 --lambda_B 0": ({"G_A", "G_B", "D_A", "D_B"}, {"G_A": 1, "G_B": 1, "D_A": 2, "D_B": 2}),
    "--lambda_GAN 0": ({"cycle_A", "cycle_B", "idt_A", "idt_B"}, {"G_A": 3, "G_B": 3}),
    "--lambda_GAN 0 --lambda_B 0": ({"cycle_A", "idt_B"}, {"G_A": 1, "G_B": 2}),
    "--lambda_GAN 0 --lambda_A 0": ({"cycle_B", "idt_A"}, {"G_A": 2, "G_B": 1}),
    "--lambda_B 0": (ALL_LOSSES - {"cycle_B", "idt_A"}, {"G_A": 1, "G_B": 3, "D_A": 2, "D_B": 2}),
    "--lambda_A 0": (ALL_LOSSES - {"cycle_A", "idt_B"}, {"G_A": 3, "G_B": 1, "D_A": 2, "D_B": 2}),
    "--lambda_color 1": (ALL_LOSSES | {"color_A", "color_B"}, {"G_A": 3, "G_B": 3, "D_A": 2, "D_B": 2}),
    "--lambda_color 1 --lambda_GAN 0 --lambda_B 0": (
        {"cycle_A", "idt_B", "color_A", "color_B"},
        {"G_A": 1, "G_B": 3},
    ),
}


@pytest.mark.parametrize("flags", GENERATOR_CALLS)
def test_a_loss_with_weight_zero_is_not_computed(build: Build, flags: str) -> None:
    losses, calls = GENERATOR_CALLS[flags]
    model = build(*TINY, *flags.split())
    counted: Counter[str] = Counter()
    for name, network in model.networks().items():
        network.register_forward_hook(lambda *_, name=name: counted.update([name]))
    (step,) = train(model, 1)
    assert set(step) == losses
    assert counted == calls
    assert all(shown.dtype == torch.float64 for shown in model.get_current_visuals().values())


def test_only_networks_of_the_phase_require_gradients(build: Build) -> None:
    model, seen = build(*TINY), []
    for name, network in model.networks().items():
        network.register_forward_hook(
            lambda net, *_, name=name: seen.append((name, next(net.parameters()).requires_grad))
        )
    train(model, 1)
    assert Counter(seen) == {
        **{("G_A", True): 3, ("G_B", True): 3},
        # Real and fake images in one pass.
        **{("D_A", False): 1, ("D_A", True): 1, ("D_B", False): 1, ("D_B", True): 1},
    }


@pytest.mark.parametrize(
    "flags", ["--lambda_A 0 --lambda_B 0", "--lambda_GAN 0", "--lambda_B 0", "--lambda_color 1", ""]
)
def test_ablations_train(build: Build, flags: str) -> None:
    model = build(*TINY, *flags.split(), "--lr", "0.01")
    before = copy.deepcopy(model.networks())
    data = batch(model.opt, 0)
    objective = []
    for _ in range(12):
        model.set_input(data)
        model.optimize_parameters()
        losses = model.get_current_losses()
        objective.append(sum(value for name, value in losses.items() if not name.startswith(("D_", "G_"))))
    for name, network in model.networks().items():
        assert not torch.equal(next(network.parameters()), next(before[name].parameters())), name
    if objective[0] > 0:
        assert objective[-1] < objective[0]


def test_visuals_of_an_unused_cycle_are_absent(build: Build) -> None:
    model = build(*TINY, "--lambda_GAN", "0", "--lambda_B", "0", "--lambda_identity", "0")
    train(model, 1)
    assert set(model.get_current_visuals()) == {"real_A", "fake_B", "rec_A", "real_B"}


def test_direction_swaps_domains_and_channels(build: Build) -> None:
    model = build(*TINY, "--direction", "BtoA", "--input_nc", "1", "--output_nc", "3", "--lambda_identity", "0")
    data = batch(model.opt, 0)
    assert data["A"].shape[1] == 3 and data["B"].shape[1] == 1
    model.set_input(data)
    model.test()
    shown = model.get_current_visuals()
    assert torch.equal(shown["real_A"], data["B"]) and torch.equal(shown["real_B"], data["A"])
    assert shown["fake_B"].shape == data["A"].shape and shown["fake_A"].shape == data["B"].shape
    assert model.get_image_paths() == data["B_paths"]


def test_a_batch_of_one_domain_is_an_error(build: Build) -> None:
    model = build(*TINY, "--dataset_mode", "single")
    data = batch(model.opt, 0)
    del data["B"], data["B_paths"]
    with pytest.raises(UserError, match=r"^--dataset_mode single has one domain, .* --model test --model_suffix _A"):
        model.set_input(data)


def test_translations_of_both_directions_have_their_ground_truth(build: Build) -> None:
    model = build(*TINY, "--direction", "BtoA")
    data = batch(model.opt, 0, count=2) | {"A_truth": ["a0", None], "B_truth": [None, "b1"]}
    model.set_input(data)
    model.test()
    found = [(t.path, list(t.visuals), t.truth) for t in model.translations(data)]
    assert found == [
        # real_A is from folder B here, so that the ground truth of its translation is in folder A.
        ("B0_0.png", ["real_A", "fake_B", "rec_A"], {"fake_B": "a0"}),
        ("A0_0.png", ["real_B", "fake_A", "rec_B"], {}),
        ("B0_1.png", ["real_A", "fake_B", "rec_A"], {}),
        ("A0_1.png", ["real_B", "fake_A", "rec_B"], {"fake_A": "b1"}),
    ]
    torch.testing.assert_close(model.translations(data)[3].visuals["fake_A"], model.netG_B(data["A"])[1].detach())


def test_testing_and_training_give_the_same_visuals(build: Build) -> None:
    model = build(*TINY)
    data = batch(model.opt, 0)
    model.set_input(data)
    model.test()
    tested = model.get_current_visuals()
    assert set(tested) == {"real_A", "fake_B", "rec_A", "real_B", "fake_A", "rec_B"}
    model.set_input(data)
    model.optimize_parameters()
    trained = model.get_current_visuals()
    assert list(trained) == ["real_A", "fake_B", "rec_A", "idt_B", "real_B", "fake_A", "rec_B", "idt_A"]
    assert all(torch.equal(trained[name], tested[name]) for name in tested)
    assert not any(image.requires_grad for image in trained.values())


# Non-finite losses.


def non_finite_step(model: BaseModel) -> None:
    data = batch(model.opt, 1)
    data["A"][0, 0, 0, 0] = float("nan")
    model.set_input(data)
    model.optimize_parameters()


def test_a_non_finite_loss_is_reported_with_its_step_and_changes_no_weight(build: Build) -> None:
    model = build(*TINY)
    train(model, 2)
    model.check_finite()
    before = copy.deepcopy({name: dict(net.named_parameters()) for name, net in model.networks().items()})
    states = copy.deepcopy({name: optimizer.state_dict() for name, optimizer in model.optimizers.items()})
    non_finite_step(model)
    for i in range(3):  # before the host checks
        model.set_input(batch(model.opt, i))
        model.optimize_parameters()
    with pytest.raises(TrainingDiverged, match=r"G_A = nan.*cycle_A = nan.*idt_B = nan") as caught:
        model.get_current_losses()
    assert caught.value.steps_ago == 3 and model.skipped_steps == 0  # only fp16 counts skipped steps
    assert "cycle_B" not in str(caught.value) and "gradient" not in str(caught.value)
    for name, network in model.networks().items():
        assert all(torch.equal(value, before[name][key]) for key, value in network.named_parameters()), name
    for name, optimizer in model.optimizers.items():
        for key, state in optimizer.state_dict()["state"].items():
            assert all(torch.equal(value, states[name]["state"][key][entry]) for entry, value in state.items())
    with pytest.raises(TrainingDiverged):
        model.update_learning_rate()


def test_a_non_finite_discriminator_loss_is_reported(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(*TINY)
    monkeypatch.setattr(model.fake_B_pool, "query", lambda images: images / 0)
    before = copy.deepcopy(dict(model.netD_A.named_parameters()))
    model.set_input(batch(model.opt, 0))
    model.optimize_parameters()
    with pytest.raises(TrainingDiverged, match=r"training: D_A = nan;") as caught:
        model.check_finite()
    assert caught.value.steps_ago == 0
    assert all(torch.equal(value, before[name]) for name, value in model.netD_A.named_parameters())


def test_a_non_finite_gradient_is_reported(build: Build) -> None:
    model = build(*TINY)
    before = copy.deepcopy(dict(model.netG_B.named_parameters()))
    model.netG_B.model[-2].bias.register_hook(lambda gradient: gradient / 0)
    model.set_input(batch(model.opt, 0))
    model.optimize_parameters()
    with pytest.raises(TrainingDiverged, match=r"the gradient of G = "):
        model.check_finite()
    assert all(torch.equal(value, before[name]) for name, value in model.netG_B.named_parameters())


def test_an_optimizer_without_found_inf_is_not_stepped(build: Build) -> None:
    model = build(*TINY)
    model.phases[0].optimizer = torch.optim.SGD(model.netG_A.parameters(), lr=1.0)
    non_finite_step(model)
    with pytest.raises(TrainingDiverged, match="G_A = nan") as caught:
        model.check_finite()
    assert caught.value.steps_ago == 0
    assert all(value.isfinite().all() for value in model.netG_A.parameters())


# Exponential moving averages.


def test_the_moving_average_is_saved_instead_of_the_last_weights(build: Build, tmp_path: Path) -> None:
    model = build(*TINY, "--ema_decay", "0.15", "--lr", "0.01")
    key = "model.1.weight"
    history = []
    for i in range(3):
        train(model, 1, first=i)
        history.append(model.netG_A.state_dict()[key].clone())
    # The average starts with the weights of the first step. Then the decay is min(decay, (1 + n) / (10 + n)) = 0.15.
    expected = history[0]
    for current in history[1:]:
        expected = 0.15 * expected + 0.85 * current
    assert set(model.averages) == {"G_A", "G_B"}
    model.folder.mkdir(parents=True)
    model.save_networks("latest")
    assert sorted(path.name for path in model.folder.glob("*.pth")) == [
        f"latest_net_{name}.pth" for name in ("D_A", "D_B", "G_A", "G_B")
    ]
    saved = copy.deepcopy(model.netG_A)
    load_weights({model.folder / "latest_net_G_A.pth": saved})
    torch.testing.assert_close(saved.state_dict()[key], expected)
    load_weights({model.folder / "latest_net_D_A.pth": (saved := copy.deepcopy(model.netD_A))})
    assert torch.equal(next(saved.parameters()), next(model.netD_A.parameters()))


def test_the_decay_warms_up(build: Build) -> None:
    model = build(*TINY, "--ema_decay", "0.999", "--lr", "0.01")
    history = []
    for i in range(2):
        train(model, 1, first=i)
        history.append(model.netG_B.state_dict()["model.1.weight"].clone())
    expected = 2 / 11 * history[0] + 9 / 11 * history[1]
    torch.testing.assert_close(model.averages["G_B"].module.state_dict()["model.1.weight"], expected)


# Resuming from a checkpoint.


@pytest.mark.parametrize("extra", [["--ema_decay", "0.9", "--lr_policy", "plateau"], ["--norm", "batch", "--dropout"]])
def test_resumed_training_is_bit_identical(build: Build, tmp_path: Path, extra: list[str]) -> None:
    flags = [*TINY, "--pool_size", "2", "--n_epochs", "1", "--n_epochs_decay", "3", *extra]

    def objects(model: BaseModel) -> dict[str, Any]:
        return model.state_objects() | {"random": RandomState()}

    torch.manual_seed(5)
    model = build(*flags)
    train(model, 3)
    model.update_learning_rate()
    train(model, 2, first=3)
    Checkpoint(tmp_path / "state.pt", objects(model)).save()
    expected = train(model, 3, first=5)
    model.update_learning_rate()

    torch.manual_seed(77)
    again = build(*flags, "--seed", "2")
    for network in again.networks().values():
        nn.init.constant_(next(network.parameters()), 0.01)
    Checkpoint(tmp_path / "state.pt", objects(again)).load()
    assert train(again, 3, first=5) == expected
    again.update_learning_rate()
    # The epoch's mean loss, for the policy plateau, covers the steps before and after resuming.
    assert again.schedules["G"].state_dict() == model.schedules["G"].state_dict()
    for one, other in ((model.networks(), again.networks()), (model.averages, again.averages)):
        for name, network in one.items():
            state = other[name].state_dict()
            assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items()), name


def test_testing_without_weights_is_an_error(build: Build) -> None:
    opt = copy.copy(build(*TINY).opt)
    opt.is_train = False
    with pytest.raises(UserError, match=r"latest_net_G_A\.pth is missing: train first, or check --name"):
        create_model(opt).setup(opt)


@pytest.mark.parametrize(
    ("flags", "depends"), [([], False), (["--dropout"], True), (["--norm", "batch"], True), (["--norm", "none"], False)]
)
def test_depends_on_batch(build: Build, flags: list[str], depends: bool) -> None:
    model = build(*TINY, "--lambda_GAN", "0", *flags)
    assert model.depends_on_batch is depends
    model.eval()
    assert not model.depends_on_batch
