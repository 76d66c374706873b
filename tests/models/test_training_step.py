"""The training step: inputs and outputs of a batch, registration of networks and objects."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import create_model
from models.base_model import BaseModel, Phase
from models.step_data import StepData
from models.template_model import TemplateModel
from tests.conftest import Options
from tests.models.test_micro_batches import noise
from util.errors import UserError


def built(opt: argparse.Namespace, kind: type[BaseModel] | None = None) -> BaseModel:
    torch.manual_seed(3)
    model = kind(opt) if kind else create_model(opt)
    model.setup(opt)
    for network in [*model.networks().values(), *model.averages.values()]:
        network.double()
    return model


class WithOwnTensors(TemplateModel):
    """Has other tensor attributes whose length equals the batch size."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.class_weights = torch.arange(4.0)
        self.total = torch.zeros(4, dtype=torch.float64)
        self.mask: Tensor | None = None
        self.seen: list[tuple[int, ...]] = []

    def set_input(self, batch: Mapping[str, Any]) -> None:
        super().set_input(batch)
        self.mask = torch.ones(len(self.image_paths), 1)
        self.scale = torch.full((3,), 0.5)

    def loss_G(self) -> dict[str, Tensor]:
        assert self.mask is not None
        self.seen.append((len(self.real_A), len(self.class_weights), len(self.mask), len(self.scale)))
        self.total = self.total + 1
        return super().loss_G()


def test_other_tensor_attributes_are_neither_split_nor_joined(options: Options) -> None:
    model = built(options("--model", "template", "--batch_size", 4, "--accumulate", 2), WithOwnTensors)
    model.outside = torch.zeros(4)
    model.set_input(noise(model, 4, 0))
    model.optimize_parameters()
    assert model.seen == [(2, 4, 2, 3), (2, 4, 2, 3)]
    assert model.class_weights.tolist() == [0, 1, 2, 3] and len(model.outside) == 4
    assert model.total.tolist() == [2, 2, 2, 2]
    assert len(model.mask) == len(model.real_A) == len(model.fake_B) == 4


@pytest.mark.parametrize("accumulate", [1, 2, 3])
def test_visuals_contain_the_whole_batch(options: Options, accumulate: int) -> None:
    model = built(options("--batch_size", 4, "--pool_size", 0, "--accumulate", accumulate))
    netG = create_model(model.opt).netG_A.double()
    netG.load_state_dict(model.netG_A.state_dict())
    batch = noise(model, 4, 0)
    model.set_input(batch)
    model.optimize_parameters()
    visuals = model.get_current_visuals()
    assert {name: len(visual) for name, visual in visuals.items()} == dict.fromkeys(model.visual_names, 4)
    assert torch.equal(visuals["real_A"], batch["A"])
    with torch.no_grad():
        expected = netG(batch["A"])
    for i in range(4):
        assert torch.allclose(visuals["fake_B"][i], expected[i], atol=1e-12)


class WithMemory(TemplateModel):
    """Keeps values between steps in ordinary ways."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.prev: Tensor | None = None

    def loss_G(self) -> dict[str, Tensor]:
        if not hasattr(self, "steps"):
            self.steps = torch.zeros(())
        self.steps = self.steps + 1
        terms = super().loss_G()
        before = self.fake_B if self.prev is None else self.prev
        terms["change"] = (before.detach() - self.fake_B).abs().mean()
        self.prev = self.fake_B
        return terms

    def optimize_parameters(self) -> None:
        self.real_A = 0.5 * self.real_A
        super().optimize_parameters()


def test_values_are_kept_between_steps(options: Options) -> None:
    model = built(options("--model", "template", "--batch_size", 2), WithMemory)
    for seed in range(3):
        batch = noise(model, 2, seed)
        model.set_input(batch)
        model.optimize_parameters()
        assert torch.equal(model.real_A, 0.5 * batch["A"])
    assert model.steps == 3 and model.get_current_losses()["change"] > 0


class InputMixin:
    """A set_input that is not defined in a subclass of BaseModel."""

    def set_input(self, batch: Mapping[str, Any]) -> None:
        self.real_A, self.real_B, self.image_paths = batch["A"], batch["B"], batch["A_paths"]


class Mixed(InputMixin, TemplateModel):
    pass


def test_set_input_may_come_from_a_mixin(options: Options) -> None:
    model = built(options("--model", "template", "--batch_size", 4, "--accumulate", 2), Mixed)
    model.set_input(noise(model, 4, 0))
    model.optimize_parameters()
    assert model.step_images == 4 and set(model.step_data.inputs) == {"real_A", "real_B"} and len(model.fake_B) == 4


@pytest.mark.parametrize("name", ["losses", "progress", "watch", "pool", "net_G", "optimizer_G"])
def test_a_used_name_can_not_be_registered(options: Options, name: str) -> None:
    model = built(options("--model", "template"), TemplateModel)
    with pytest.raises(UserError, match=f"TemplateModel registers '{name}', a name that is used already"):
        model.add_state(name, nn.BatchNorm2d(1))
    with pytest.raises(UserError, match="registers 'net_G'"):
        model.add_network("G", nn.Conv2d(1, 1, 1))


def test_an_average_of_no_step_is_not_saved(options: Options) -> None:
    """As in a run that is resumed with --ema_decay, whose state has no average."""
    model = built(options("--model", "template", "--ema_decay", "0.9"), TemplateModel)
    with torch.no_grad():
        next(model.netG.parameters()).fill_(7)
    (path,) = [path for path in model.weights("latest") if path.name == "latest_net_G.pth"]
    first = next(iter(model.netG.state_dict()))
    assert (model.weights("latest")[path][first] == 7).all()
    model.set_input(noise(model, 1, 0))
    model.optimize_parameters()
    assert torch.equal(model.weights("latest")[path][first], model.averages["G"].module.state_dict()[first])


class UnregisteredNetwork(TemplateModel):
    """Trains a network that is not registered."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.extra = nn.Conv2d(3, 3, 1)
        self.phases[0] = Phase("G", [self.netG, self.extra], self.adam(self.netG, self.extra), [self.loss_G])


class UnregisteredParameters(TemplateModel):
    """Its optimizer has the parameters of a network that is not registered, and that no phase lists."""

    def __init__(self, opt: argparse.Namespace) -> None:
        super().__init__(opt)
        self.phases[0].optimizer = self.adam(self.netG, nn.Conv2d(3, 3, 1))


@pytest.mark.parametrize("kind", [UnregisteredNetwork, UnregisteredParameters])
def test_training_an_unregistered_network_is_an_error(options: Options, kind: type[BaseModel]) -> None:
    opt = options("--model", f"{__name__}:{kind.__name__}")
    with pytest.raises(UserError, match=r"^phase G of the model trains .*, which is not registered and would never"):
        create_model(opt)


def test_checkpoints_contain_registered_networks_and_objects(options: Options) -> None:
    model = built(options("--model", "template", "--ema_decay", "0.9"), TemplateModel)
    extra = model.add_state("extra", nn.BatchNorm2d(2))
    assert model.networks() == {"G": model.netG, "D": model.netD}
    names = {"net_G", "net_D", "average_G", "optimizer_G", "optimizer_D", "schedule_G", "schedule_D", "pool", "extra"}
    objects = model.state_objects()
    assert objects.keys() == names | {"epoch_loss", "precision", "watch"} and objects["extra"] is extra


def test_deprecated_names_work_and_warn(options: Options) -> None:
    model = built(options("--model", "template"), TemplateModel)
    with pytest.warns(FutureWarning, match="place is now prepare_network"):
        network = model.place(nn.Conv2d(1, 1, 1))
    assert isinstance(network, nn.Conv2d)
    with pytest.warns(FutureWarning, match="is_train is now stage"):
        assert model.is_train
    images = torch.zeros(1, 3, 4, 4)
    with pytest.warns(FutureWarning, match="query is now query_pool"):
        assert torch.equal(model.query(model.pool, images), images)


def test_split_and_join_restore_the_batch() -> None:
    data = StepData(inputs={"x": torch.arange(5.0), "constant": torch.ones(3)}, images=5, counts=[5, 4])
    parts = data.split(2)
    assert [part.images for part in parts] == [3, 2] and [part.fraction for part in parts] == [0.6, 0.4]
    assert [part.counts for part in parts] == [[3, 2], [2, 2]]
    for part in parts:
        assert torch.equal(part.inputs["constant"], torch.ones(3))
        part.outputs = {"y": 2 * part.inputs["x"], "scalar": part.inputs["x"].sum()}
    data.join(parts)
    assert torch.equal(data.outputs["y"], 2 * data.inputs["x"])
    assert data.outputs["scalar"] == 7  # not per image: the value of the last micro-batch
    assert data.split(1) == [data]


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        (["--model", "cycle_gan"], "G D, update G, update D"),
        (["--model", "template"], "G D, update G, update D"),
        (["--model", "dcgan"], "G D, update G, update D"),
        (["--model", "pix2pix_hd", "--netG", "global", "--lambda_vgg", "0", "--num_D", "1"], "G D, update G, update D"),
        (["--model", "pix2pix", "--netG", "resnet_6blocks"], "D, update D, G, update G"),
        (["--model", "cut"], "D, update D, G, update G"),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_a_phase_runs_before_an_update_only_if_it_does_not_read_it(
    options: Options, monkeypatch: pytest.MonkeyPatch, flags: list[str], order: str
) -> None:
    """While an independent phase runs, the networks of the phase before have no finite weight."""
    model = built(options(*flags, "--batch_size", 2))
    step, events = model.training_step, []
    accumulate, finish = step._accumulate, step._finish
    waiting: list[Phase] = []

    def accumulate_on_nan(phase: Phase, *arguments: Any) -> Any:
        parameters = [p for before in waiting for network in before.networks for p in network.parameters()]
        values = [parameter.detach().clone() for parameter in parameters]
        for parameter in parameters:
            parameter.data.fill_(math.nan)
        losses = accumulate(phase, *arguments)
        assert losses and all(bool(loss.isfinite()) for loss in losses.values())
        for parameter, value in zip(parameters, values, strict=True):
            parameter.data.copy_(value)
        waiting.append(phase)
        events.append(phase.name)
        return losses

    def finish_and_record(update: Any, data: StepData) -> Tensor:
        waiting.remove(update.phase)
        events.append(f"update {update.phase.name}")
        return finish(update, data)

    monkeypatch.setattr(step, "_accumulate", accumulate_on_nan)
    monkeypatch.setattr(step, "_finish", finish_and_record)
    model.set_input(noise(model, 2, 0))
    model.optimize_parameters()
    model.check_finite()
    assert events == order.replace("G D", "G, D").split(", ")


@pytest.mark.parametrize("model", ["pix2pix", "colorization", "cut"])
def test_fp16_with_batch_norm_steps(options: Options, model: str) -> None:
    """Running statistics are restored only after the last backward pass, because graphs refer to them."""
    flags = ["--model", model, "--norm", "batch", "--precision", "fp16", "--phase", "trainA"]
    flags += ["--netG", "resnet_6blocks"] if model == "cut" else ["--netG", "unet_128"]
    flags += ["--crop_size", "128", "--load_size", "128"]
    trained = create_model(options(*flags))
    trained.setup(trained.opt)
    shape = (1, trained.opt.input_nc, 128, 128)
    batch = {"A": torch.rand(shape), "B": torch.rand(1, trained.opt.output_nc, 128, 128)}
    for _ in range(2):
        trained.set_input(batch | {"A_paths": ["a"], "B_paths": ["b"]})
        trained.optimize_parameters()
    assert all(torch.isfinite(p).all() for network in trained.networks().values() for p in network.parameters())


VALIDATED = {
    "cycle_gan": ["--model", "cycle_gan"],
    "cycle_gan with dropout and batch norm": ["--model", "cycle_gan", "--dropout", "--norm", "batch"],
    "pix2pix": ["--model", "pix2pix", "--netG", "resnet_6blocks", "--pool_size", "2"],
    "cut": ["--model", "cut", "--CUT_mode", "FastCUT"],
    "template": ["--model", "template", "--accumulate", "2"],
    "dcgan": ["--model", "dcgan"],
}


@pytest.mark.parametrize("flags", VALIDATED.values(), ids=VALIDATED.keys())
def test_validation_passes_between_steps_leave_training_bit_for_bit(options: Options, flags: list[str]) -> None:
    def train(passes: int) -> tuple[list[Tensor], Tensor, list[str]]:
        model = built(options(*flags, "--batch_size", 2, "--ema_decay", 0.9))
        for step in range(3):
            model.set_input(noise(model, 2, step))
            model.optimize_parameters()
            visuals = model.get_current_visuals()
            for number in range(passes):
                with model.validating():
                    model.set_input(noise(model, 1, 100 + number))
                    model.test()
                    assert not model.netG_A.training if hasattr(model, "netG_A") else not model.netG.training
                    fake = next(value for name, value in model.get_current_visuals().items() if "fake" in name)
                    assert len(fake) == 1
            assert all(torch.equal(model.get_current_visuals()[name], visuals[name]) for name in visuals)
        tensors = [value for network in model.networks().values() for value in network.state_dict().values()]
        return tensors, torch.get_rng_state(), model.get_image_paths()

    plain, validated = train(0), train(2)
    assert all(torch.equal(one, other) for one, other in zip(plain[0], validated[0], strict=True))
    assert torch.equal(plain[1], validated[1]) and plain[2] == validated[2]
