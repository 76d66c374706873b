"""Devices and random states."""

from __future__ import annotations

import pytest
import torch

from util.errors import UserError
from util.runtime import device as runtime
from util.runtime import random_state
from util.runtime.random_state import RandomState

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with two GPUs of NVIDIA's kind."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(("name", "device"), [("auto", "cuda"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cpu", "cpu")])
def test_a_device_that_is_there(gpus: None, name: str, device: str) -> None:
    assert runtime.get_device(name) == torch.device(device)


def test_without_an_accelerator_auto_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.get_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.get_device("auto") == torch.device("mps")


def test_a_gpu_too_many(gpus: None) -> None:
    with pytest.raises(
        UserError, match=r"^--device cuda:2 is not available to torch \S+ on this machine: use --device auto or cpu$"
    ):
        runtime.get_device("cuda:2")
    for name in ("meta", "foo"):  # one that torch knows, and one that it does not
        with pytest.raises(UserError, match=f"--device.*{name}"):
            runtime.get_device(name)


def test_a_seed_and_a_state_give_the_same_numbers() -> None:
    random_state.seed_everything(3)
    first, state = torch.rand(2), random_state.RandomState().state_dict()
    second = torch.rand(2)
    random_state.seed_everything(3)
    assert torch.equal(torch.rand(2), first)
    torch.rand(9)
    random_state.RandomState().load_state_dict(state)
    assert torch.equal(torch.rand(2), second)


class FakeGpus:
    """Two GPUs with a random state each, as torch.cuda has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states = [torch.tensor([10]), torch.tensor([11])]
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: self.states[device.index or 0])
        monkeypatch.setattr(torch.cuda, "set_rng_state", self._set)

    def _set(self, state: torch.Tensor, device: torch.device) -> None:
        self.states[device.index or 0] = state


def test_the_random_state_of_the_gpu_in_use_is_restored_on_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = FakeGpus(monkeypatch)
    state = RandomState(torch.device("cuda:1")).state_dict()
    RandomState(torch.device("cuda")).load_state_dict(state)
    assert [int(state) for state in gpus.states] == [11, 11]


def test_an_earlier_checkpoint_has_the_random_states_of_all_gpus(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gpus = FakeGpus(monkeypatch)
    state = {"cpu": torch.get_rng_state(), "cuda": [torch.tensor([20]), torch.tensor([21])]}
    RandomState(torch.device("cuda:1")).load_state_dict(state)
    assert [int(state) for state in gpus.states] == [10, 21] and capsys.readouterr().err == ""
    RandomState(torch.device("cuda:2")).load_state_dict(state)
    assert [int(state) for state in gpus.states] == [10, 21]
    assert capsys.readouterr().err.startswith("note: the checkpoint has no random state of cuda:2: random numbers")


def test_a_checkpoint_of_a_gpu_is_restored_on_a_cpu_and_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeGpus(monkeypatch)
    state = RandomState(torch.device("cuda")).state_dict()
    expected = torch.rand(2)
    RandomState(torch.device("cpu")).load_state_dict(state)
    assert torch.equal(torch.rand(2), expected) and capsys.readouterr().err == ""
    RandomState(torch.device("cuda")).load_state_dict(RandomState(torch.device("cpu")).state_dict())
    assert "no random state of cuda:" in capsys.readouterr().err


def test_the_random_state_of_mps_is_restored(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)
    random = RandomState(torch.device("mps"))
    saved = random.state_dict()
    states.append(torch.tensor([2]))
    random.load_state_dict(saved)
    assert [int(state) for state in states] == [1, 2, 1] and capsys.readouterr().err == ""
    random.load_state_dict({name: state for name, state in saved.items() if name != "mps"})
    assert len(states) == 3 and "no random state of mps" in capsys.readouterr().err


def test_copies_are_asynchronous_on_cuda_only() -> None:
    asynchronous = [
        name for name in ("cpu", "cuda", "cuda:1", "mps") if runtime.copies_asynchronously(torch.device(name))
    ]
    assert asynchronous == ["cuda", "cuda:1"]


class OnMps(torch.optim.SGD):
    """An optimizer in place of a fused Adam on MPS, which this machine lacks."""

    kind = "honors"

    def __init__(self, parameters: list[torch.nn.Parameter], fused: bool) -> None:
        super().__init__(parameters, lr=0.1)
        assert fused

    def step(self) -> None:  # type: ignore[override]
        if self.kind == "refuses":
            raise AssertionError
        if self.kind == "ignores" or not self.found_inf:  # type: ignore[attr-defined]
            super().step()


@pytest.mark.parametrize(("kind", "honored"), [("honors", True), ("ignores", False), ("refuses", False)])
def test_the_skip_flag_of_fused_optimizers_is_tried_out(
    monkeypatch: pytest.MonkeyPatch, kind: str, honored: bool
) -> None:
    monkeypatch.setattr(OnMps, "kind", kind)
    monkeypatch.setattr(torch.optim, "Adam", OnMps)
    monkeypatch.setattr(torch, "ones", lambda *shape, device, ones=torch.ones: ones(*shape))
    assert runtime.honors_skip_flag.__wrapped__(torch.device("mps")) is honored


def test_this_torch_honors_the_skip_flag_on_cpus() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.grad = torch.ones(1)
    optimizer = torch.optim.Adam([parameter], fused=True)
    for flag, expected in ((1.0, 1.0), (0.0, 0.999)):
        optimizer.found_inf = torch.tensor(flag)  # type: ignore[attr-defined]
        optimizer.step()
        assert float(parameter) == pytest.approx(expected, abs=1e-6)
    assert runtime.honors_skip_flag(torch.device("cpu"))


@pytest.mark.gpu
@needs_gpu
def test_random_states_of_a_gpu() -> None:
    device = torch.device("cuda")
    random_state.seed_everything(3)
    state = RandomState(device).state_dict()
    first = torch.rand(5, device=device), torch.rand(5)
    RandomState(device).load_state_dict(state)
    assert torch.equal(torch.rand(5, device=device), first[0]) and torch.equal(torch.rand(5), first[1])
    RandomState(torch.device("cpu")).load_state_dict(state)
    assert torch.equal(torch.rand(5), first[1])
    with runtime.preserved_random_state(device):
        torch.rand(3, device=device)
    after = torch.rand(5, device=device)
    RandomState(device).load_state_dict(state)
    torch.rand(5, device=device)
    assert torch.equal(torch.rand(5, device=device), after)


@pytest.mark.gpu
@needs_gpu
def test_the_skip_flag_is_honored_on_a_gpu() -> None:
    parameter = torch.nn.Parameter(torch.ones(3, device="cuda"))
    parameter.grad = torch.ones(3, device="cuda")
    optimizer = torch.optim.Adam([parameter], fused=True)
    optimizer.found_inf = torch.ones((), device="cuda")  # type: ignore[attr-defined]
    optimizer.step()
    assert torch.equal(parameter.detach().cpu(), torch.ones(3))
