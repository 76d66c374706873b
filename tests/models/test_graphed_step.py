"""--cuda_graph without a GPU: the structure of a graphed step, with graphs that run the captured function again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from models import create_model
from models.advice import graphs_obstacle
from models.base_model import BaseModel
from models.graphed_step import MAX_KEYS, WARM_UP, CapturedStep, GraphedStep
from models.schedules import Schedule
from tests.conftest import Options
from tests.models.test_micro_batches import noise
from util.errors import UserError


class FunctionGraph:
    """Replays by running the function, and copying its results and gradients into those of the first run."""

    def __init__(self, function: Callable[[], Any], parameters: list[Any]) -> None:
        self.function, self.parameters = function, parameters
        self.result = function()
        self.gradients = [parameter.grad for parameter in parameters]
        self.is_new = True

    def replay(self) -> None:
        if self.is_new:  # the capture of a real graph runs nothing
            self.is_new = False
            return
        before = [parameter.grad for parameter in self.parameters]
        made: list[Tensor] = []
        tree_map_only(Tensor, made.append, self.function())
        copies = iter(made)
        tree_map_only(Tensor, lambda static: static.copy_(next(copies)), self.result)
        for parameter, old, static in zip(self.parameters, before, self.gradients, strict=True):
            if parameter.grad is not old:
                static.copy_(parameter.grad)
                parameter.grad = static


class FunctionGraphs:
    """Stands in for CudaGraphs."""

    def __init__(self, model: BaseModel) -> None:
        self.parameters = [p for network in model.networks().values() for p in network.parameters()]
        self.warm_ups, self.captures = 0, 0

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        self.warm_ups += 1
        yield

    def capture(self, function: Callable[[], Any]) -> FunctionGraph:
        self.captures += 1
        return FunctionGraph(function, self.parameters)


def with_graphs(model: BaseModel) -> tuple[BaseModel, GraphedStep, FunctionGraphs]:
    """The model, whose steps are replayed by graphs of functions."""
    graphs, old = FunctionGraphs(model), model.training_step
    step = GraphedStep(
        model.phases,
        model.networks(),
        graphs=graphs,
        query=model.query_pool,
        state=model.host_decisions,
        precision=model.precision,
        world=model.processes,
        guard=model.guard,
    )
    step.epoch_loss = old.epoch_loss
    model.training_step = step
    return model, step, graphs


def build(options: Options, *flags: object) -> BaseModel:
    torch.manual_seed(3)
    model = create_model(options(*flags))
    model.setup(model.opt)
    return model


def train(model: BaseModel, steps: int) -> list[dict[str, float]]:
    torch.manual_seed(4)
    losses = []
    for number in range(steps):
        data = {name: x.float() if isinstance(x, Tensor) else x for name, x in noise(model, 1, number).items()}
        model.set_input(data)
        model.optimize_parameters()
        losses.append(model.get_current_losses())
    return losses


def assert_same_weights(found: BaseModel, expected: BaseModel) -> None:
    for name, network in expected.networks().items():
        for key, value in network.state_dict().items():
            assert torch.equal(value, found.networks()[name].state_dict()[key]), (name, key)


MODELS = {
    "cycle_gan": ["--pool_size", 2],
    "joint passes, EMA": ["--joint_passes", "on", "--ema_decay", 0.9, "--pool_size", 2],
    "wgangp, diffaug": ["--gan_mode", "wgangp", "--augment", "diffaug"],
    "batch norm": ["--norm", "batch"],
    "cut": ["--model", "cut"],
    "FastCUT": ["--model", "cut", "--CUT_mode", "FastCUT"],
    "pix2pix": ["--model", "pix2pix", "--netG", "resnet_6blocks", "--norm", "instance"],
    "dcgan": ["--model", "dcgan", "--norm", "instance"],
}


@pytest.mark.parametrize("flags", MODELS.values(), ids=MODELS.keys())
def test_steps_with_graphs_are_those_without(options: Options, flags: list[object]) -> None:
    """The losses of all steps, the weights and the moving averages: of the same operations, on the same numbers."""
    plain = build(options, *flags)
    graphed, step, graphs = with_graphs(build(options, *flags))
    count = WARM_UP + 4
    assert train(graphed, count) == train(plain, count)
    assert_same_weights(graphed, plain)
    for name, average in plain.averages.items():
        assert all(map(torch.equal, average.state_dict().values(), graphed.averages[name].state_dict().values()))
    captured = [step for step in step.steps.values() if isinstance(step, CapturedStep)]
    assert captured and not step.is_given_up
    assert graphs.captures == 2 * len(plain.phases) * len(captured)


def test_steps_of_other_shapes_have_their_own_graphs_up_to_a_number(options: Options) -> None:
    model, step, graphs = with_graphs(build(options, "--pool_size", 0))
    for size in [32 + 4 * number for number in range(MAX_KEYS + 1)] * (WARM_UP + 1):
        data = {name: torch.rand(1, 3, size, size) for name in "AB"}
        model.set_input(data | {"A_paths": ["a"], "B_paths": ["b"]})
        model.optimize_parameters()
        assert model.get_current_visuals()["fake_B"].shape[-1] == size
    assert graphs.captures == MAX_KEYS * 4
    assert sum(isinstance(found, CapturedStep) for found in step.steps.values()) == MAX_KEYS


def test_a_pool_may_return_images_of_another_size(options: Options) -> None:
    """Then the graphs of that phase do not fit, in the step of the capture or in a later one."""
    flags = ["--pool_size", 2]
    plain, (graphed, step, graphs) = build(options, *flags), with_graphs(build(options, *flags))
    losses: list[list[dict[str, float]]] = []
    for model in (plain, graphed):
        torch.manual_seed(4)
        losses.append([])
        for number in range(2 * (WARM_UP + 6)):
            size = 32 + 4 * (number % 2)
            data = {name: torch.rand(1, 3, size, size) * 2 - 1 for name in "AB"}
            model.set_input(data | {"A_paths": ["a"], "B_paths": ["b"]})
            model.optimize_parameters()
            losses[-1].append(model.get_current_losses())
    assert losses[0] == losses[1]
    assert_same_weights(graphed, plain)
    assert 4 < graphs.captures <= 8 and not step.is_given_up
    # Besides the steps before the captures, phases were run as usual, but not all of them.
    assert 0 < graphs.warm_ups - 2 * WARM_UP < 2 * 6


def test_a_pool_that_is_queried_within_a_path_is_not_captured(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--model", "dcgan", "--norm", "instance", "--pool_size", 2]
    plain = build(options, *flags)
    graphed, step, _ = with_graphs(build(options, *flags))
    assert train(graphed, WARM_UP + 2) == train(plain, WARM_UP + 2)
    assert step.is_given_up
    note = "note: --cuda_graph: steps run without graphs (an image pool chooses images on the host)"
    assert capsys.readouterr().err.splitlines().count(note) == 1


class Uninitialized(TorchDispatchMode):
    """Operators return tensors whose numbers are not computed, as in the capture of a real graph."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(returned.alias_info for returned in func._schema.returns):
            tree_map_only(Tensor, lambda made: made.fill_(math.nan) if made.is_floating_point() else made, result)
        return result


def test_tensors_of_a_capture_that_failed_are_not_used(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    """The capture of D fails after its translation, which G uses too."""
    flags = ["--model", "cut", "--pool_size", 2]
    plain, (graphed, step, graphs) = build(options, *flags), with_graphs(build(options, *flags))
    capture = graphs.capture

    def capture_numberless(function: Callable[[], Any]) -> FunctionGraph:
        with Uninitialized():
            return capture(function)

    monkeypatch.setattr(graphs, "capture", capture_numberless)
    assert train(graphed, WARM_UP + 2) == train(plain, WARM_UP + 2)
    assert step.is_given_up and graphs.captures == 1


def fail_to_capture(step: GraphedStep, monkeypatch: pytest.MonkeyPatch, first_error: RuntimeError) -> None:
    def fail(function: Callable[[], Any]) -> None:
        try:
            raise first_error
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    monkeypatch.setattr(step.graphs, "capture", fail)


def test_without_memory_for_graphs_steps_run_without_them(
    options: Options, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, (graphed, step, _) = build(options), with_graphs(build(options))
    fail_to_capture(step, monkeypatch, torch.OutOfMemoryError("CUDA out of memory. Tried\nmore"))
    assert train(graphed, WARM_UP + 2) == train(plain, WARM_UP + 2)
    assert step.is_given_up
    note = "note: --cuda_graph: steps run without graphs (CUDA out of memory. Tried)"
    assert capsys.readouterr().err.splitlines().count(note) == 1


def test_a_capture_that_cuda_ends_is_an_error_that_names_the_first_one(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, step, _ = with_graphs(build(options))
    fail_to_capture(step, monkeypatch, RuntimeError("operation not permitted when stream is capturing\nmore"))
    message = r"\(operation not permitted when stream is capturing\): use --cuda_graph off$"
    with pytest.raises(UserError, match=message):
        train(model, WARM_UP + 1)


def test_inputs_keep_their_memory_and_the_batch_its_tensors(options: Options) -> None:
    model, step, _ = with_graphs(build(options, "--pool_size", 0))
    train(model, WARM_UP + 1)
    (captured,) = [found for found in step.steps.values() if isinstance(found, CapturedStep)]
    addresses = {name: value.data_ptr() for name, value in captured.inputs.items()}
    real_A = model.real_A
    train(model, 2)
    assert {name: value.data_ptr() for name, value in captured.inputs.items()} == addresses
    assert model.real_A is not real_A and model.real_A.data_ptr() not in addresses.values()
    assert torch.equal(captured.inputs["real_A"], model.real_A)


def test_learning_rates_on_the_device_follow_the_schedule_and_survive_loading(options: Options) -> None:
    model = build(options, "--n_epochs", 1, "--n_epochs_decay", 3, "--lr_warmup", 2)
    optimizer, rate = model.optimizers["G"], torch.tensor(model.opt.lr)
    optimizer.param_groups[0]["lr"] = rate
    schedule = Schedule(optimizer, model.opt)
    schedule.begin_step(1)
    assert optimizer.param_groups[0]["lr"] is rate and rate.item() == pytest.approx(model.opt.lr / 2)
    schedule.step(0.0)
    schedule.step(0.0)
    decayed, saved = rate.item(), schedule.state_dict()
    state = optimizer.state_dict()
    state["param_groups"][0] |= {"lr": 1.0, "capturable": True}  # of a run with other settings
    optimizer.load_state_dict(state)
    schedule.load_state_dict(saved)
    assert optimizer.param_groups[0]["lr"] is rate and not optimizer.param_groups[0]["capturable"]
    assert rate.item() == decayed < model.opt.lr


def test_a_note_where_graphs_have_no_effect(options: Options) -> None:
    model = build(options, "--cuda_graph", "on")
    assert not model.uses_graphs and not isinstance(model.training_step, GraphedStep)
    assert "note: --cuda_graph on has no effect on this device (cpu)" in model.notes()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ([], ""),
        (["--precision", "fp16"], "with --precision fp16"),
        (["--accumulate", "2"], "with --accumulate 2"),
        (["--grad_checkpoint"], "with --grad_checkpoint"),
        (["--compile"], "with --compile"),
        (["--netG", "torch.nn:Identity"], "with a --netG of your own"),
    ],
)
def test_options_that_graphs_cannot_be_combined_with(options: Options, flags: list[str], reason: str) -> None:
    found = graphs_obstacle(options(*flags), "cuda", is_known=True)
    assert found.startswith(reason) and bool(found) == bool(reason)
    assert "does not set can_use_graphs" in graphs_obstacle(options(*flags), "cuda", is_known=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("flags", MODELS.values(), ids=MODELS.keys())
def test_graphs_of_the_gpu_give_the_losses_of_the_first_steps(options: Options, flags: list[object]) -> None:
    plain = train(build(options, *flags, "--device", "cuda", "--cuda_graph", "off"), WARM_UP + 3)
    model = build(options, *flags, "--device", "cuda", "--cuda_graph", "on")
    graphed = train(model, WARM_UP + 3)
    assert not model.training_step.is_given_up
    for step, expected in zip(graphed, plain, strict=True):
        assert step == pytest.approx(expected, rel=1e-5, abs=1e-6)
