"""Fixed images on the training page: the same in every session, and without effect on the training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from data import create_dataset
from models import create_model
from tests.conftest import Options
from util.monitors.fixed_images import FixedImages
from util.stage import Stage

MODELS = {
    "cycle_gan": ["--dropout", "--norm", "batch"],
    "cut": ["--CUT_mode", "FastCUT"],
    "pix2pix": ["--phase", "test"],  # with dropout and batch norm
    "colorization": ["--phase", "testA"],
    "template": [],
}


def train(model_name: str, options: Options, *, with_fixed: bool) -> tuple[dict[str, Tensor], list[np.ndarray]]:
    """The weights and buffers after two steps, and the fixed images shown before and after them."""
    opt = options("--model", model_name, *MODELS[model_name], "--fixed_images", 2)
    torch.manual_seed(0)
    model = create_model(opt)
    model.setup(opt)
    loader = create_dataset(opt)
    batches = loader.fixed_batches(2 if with_fixed else 0, model.image_sizes(Stage.VALIDATE))
    fixed = FixedImages(model, batches)
    shown = [fixed.translate()]
    for _, batch in zip(range(2), loader, strict=False):
        model.set_input(batch)
        model.optimize_parameters()
        losses = model.get_current_losses()
        shown.append(fixed.translate())
        assert model.get_current_losses() == losses
    state = {f"{n}.{key}": v for n, net in model.networks().items() for key, v in net.state_dict().items()}
    titles = [[title for title, _ in samples] for samples in shown]
    assert titles[0] == titles[1] == titles[2] and len(set(titles[0])) == len(batches)
    return state, [image for samples in shown for _, visuals in samples for image in visuals.values()]


@pytest.mark.parametrize("model", MODELS)
def test_they_have_no_effect_and_are_the_same_in_every_session(model: str, options: Options) -> None:
    state, shown = train(model, options, with_fixed=True)
    plain, none = train(model, options, with_fixed=False)
    again = train(model, options, with_fixed=True)[1]
    assert shown and not none
    assert all(torch.equal(state[name], plain[name]) for name in plain) and state.keys() == plain.keys()
    assert len(shown) == len(again) and all(map(np.array_equal, shown, again))


def test_validation_does_not_compile(options: Options) -> None:
    opt = options()
    model = create_model(opt)
    model.setup(opt)
    model.opt.compile = True
    compiled: list[str] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        compiled.append(str(graph))
        return graph.forward

    for network in model.networks().values():
        network.compile(backend=backend)
    batch = next(iter(create_dataset(opt)))
    with model.validating():
        model.set_input(batch)
        model.test()
    assert not compiled
    model.set_input(batch)
    model.test()
    assert compiled
