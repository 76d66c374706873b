"""--precision: losses close to fp32, loss scaling and skipped steps."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from models import create_model, training_step
from models.base_model import MAX_SKIPS, BaseModel
from tests.conftest import Options
from tests.models.test_cycle_gan import TINY, batch
from util.errors import TrainingDiverged
from util.runs.checkpoint import Checkpoint
from util.runtime import capabilities
from util.runtime.precision import Precision


def build(options: Options, *flags: object) -> BaseModel:
    torch.manual_seed(0)
    model = create_model(opt := options(*TINY, *flags))
    model.setup(opt)
    return model


def step(model: BaseModel, seed: int = 0) -> dict[str, float]:
    model.set_input(batch(model.opt, seed, dtype=torch.float32))
    model.optimize_parameters()
    return model.get_current_losses()


@pytest.mark.parametrize("gan_mode", ["lsgan", "vanilla", "wgangp"])
@pytest.mark.parametrize(("precision", "tolerance"), [("tf32", 1e-6), ("bf16", 2e-2), ("fp16", 3e-3)])
def test_first_losses_are_close_to_fp32(options: Options, precision: str, tolerance: float, gan_mode: str) -> None:
    # Without gradient penalty, which depends on rounding of the fakes for images of this size.
    flags = ["--gan_mode", gan_mode, "--lambda_gp", "0"]
    plain = step(build(options, *flags))
    model = build(options, *flags, "--precision", precision)
    losses = step(model)
    for name, value in plain.items():
        assert losses[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    assert all(parameter.dtype == torch.float32 for parameter in model.netG_A.parameters())
    assert all(visual.dtype == torch.float32 for visual in model.get_current_visuals().values())
    assert f"device cpu, precision {precision}" in model.describe()


def make_gradients_overflow(model: BaseModel) -> Any:
    """Make a gradient infinite until the returned handle is removed."""
    model.netG_A.requires_grad_(True)
    return model.netG_A.model[-2].bias.register_hook(lambda gradient: gradient / 0)


def build_with_settled_loss_scale(options: Options) -> BaseModel:
    """A model after the search of the loss scale: its last step was not skipped."""
    model = build(options, "--precision", "fp16")
    before = -1
    while model.skipped_steps != before:
        before = model.skipped_steps
        step(model)
    return model


def loss_scale(model: BaseModel) -> float:
    return float(model.precision.scaler.get_scale())


def test_steps_with_overflow_are_skipped_and_counted(options: Options) -> None:
    model = build_with_settled_loss_scale(options)
    before, scale, skipped = (
        copy.deepcopy(dict(model.netG_A.named_parameters())),
        loss_scale(model),
        model.skipped_steps,
    )
    handle = make_gradients_overflow(model)
    for seed in range(3):
        step(model, seed)
    assert all(torch.equal(value, before[name]) for name, value in model.netG_A.named_parameters())
    assert model.skipped_steps == skipped + 3 and loss_scale(model) == scale / 8
    handle.remove()
    step(model)
    assert model.skipped_steps == skipped + 3
    assert not all(torch.equal(value, before[name]) for name, value in model.netG_A.named_parameters())


def test_too_many_consecutive_skipped_steps_are_an_error(options: Options) -> None:
    model = build_with_settled_loss_scale(options)
    handle = make_gradients_overflow(model)
    for seed in range(MAX_SKIPS):
        step(model, seed)
    handle.remove()
    step(model)  # resets the count
    make_gradients_overflow(model)
    for seed in range(MAX_SKIPS):
        step(model, seed)
    with pytest.raises(TrainingDiverged, match="the gradient of G = ") as caught:
        step(model)
    assert caught.value.steps_ago == 0


def test_the_loss_scale_is_restored(options: Options, tmp_path: Path) -> None:
    model = build_with_settled_loss_scale(options)
    handle = make_gradients_overflow(model)
    step(model)
    handle.remove()
    Checkpoint(tmp_path / "state.pt", model.state_objects()).save()
    again = build(options, "--precision", "fp16", "--seed", 7)
    Checkpoint(tmp_path / "state.pt", again.state_objects()).load()
    assert loss_scale(again) == loss_scale(model) < 65536 and again.skipped_steps == model.skipped_steps > 0
    for seed in range(2):
        assert step(model, seed) == step(again, seed)


@pytest.mark.parametrize("kind", ["fused", "other"])
def test_a_forward_pass_with_overflow_changes_no_state(options: Options, kind: str) -> None:
    model = build(options, "--precision", "fp16", "--norm", "batch", "--ema_decay", "0.9")
    if kind == "other":
        model.phases[0].optimizer = torch.optim.SGD(model.netG_A.parameters(), lr=0.01)
    step(model)
    before = copy.deepcopy({name: dict(network.state_dict()) for name, network in model.networks().items()})
    data = batch(model.opt, 1, dtype=torch.float32)
    data["A"][0, 0, 0, 0] = float("nan")
    model.set_input(data)
    model.optimize_parameters()
    shown = model.get_current_losses()
    assert "cycle_A" not in shown and all(torch.tensor(value).isfinite() for value in shown.values())
    for name in ("G_A", "G_B"):
        for key, value in model.networks()[name].state_dict().items():
            assert torch.equal(value, before[name][key]), (name, key)
    assert all(value.isfinite().all() for value in model.averages["G_A"].state_dict().values())
    assert all(image.isfinite().all() for image in model.fake_B_pool.images)


def unhonored(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device whose fused optimizers ignore the skip flag."""
    monkeypatch.setattr(training_step, "honors_skip_flag", lambda device: False)
    step_of_adam = torch.optim.Adam.step

    def ignoring(self: torch.optim.Adam, *args: Any) -> Any:
        assert not hasattr(self, "found_inf")
        return step_of_adam(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", ignoring)


def test_steps_are_skipped_where_the_flag_is_not_honored(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = build(options, "--precision", "fp16")
    for seed in range(3):  # the search of the loss scale skips the first steps
        step(expected, seed)
    unhonored(monkeypatch)
    model = build(options, "--precision", "fp16")
    for seed in range(3):
        step(model, seed)
    assert model.skipped_steps == expected.skipped_steps > 0
    for name, network in model.networks().items():
        for one, other in zip(network.parameters(), expected.networks()[name].parameters(), strict=True):
            assert torch.equal(one, other), name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_precision_auto_on_a_gpu(options: Options) -> None:
    device = torch.device("cuda")
    random = torch.Generator("cuda").manual_seed(0)
    x, weight = (torch.randn(shape, device=device, generator=random) for shape in ((2, 64, 64, 64), (64, 64, 3, 3)))
    exact = F.conv2d(x.double(), weight.double())

    def errors(name: str) -> tuple[float, float]:
        """The largest error of a convolution and of a matrix product."""
        with Precision(name, device).autocast():
            product = x[0, 0] @ x[0, 1]
            error = (F.conv2d(x, weight).double() - exact).abs().max()
        return float(error), float((product.double() - x[0, 0].double() @ x[0, 1].double()).abs().max())

    strict, auto, tf32 = errors("fp32"), errors("auto"), errors("tf32")
    assert Precision("auto", device).name == ("tf32_conv" if capabilities.has_tf32(device) else "fp32")
    if capabilities.has_tf32(device):
        assert auto[0] > 10 * strict[0] and auto[1] == strict[1] and tf32[1] > 10 * strict[1]
    else:
        assert auto == strict == tf32
    model = build(options, "--device", "cuda")
    step(model)
    assert f"device cuda, precision {Precision('auto', device).name}" in model.describe()
