"""Devices and random states."""

from __future__ import annotations

import pytest
import torch

from util.errors import UserError
from util.runtime import device as runtime
from util.runtime import random_state


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


def test_a_seed_and_a_state_give_the_same_numbers() -> None:
    random_state.seed_everything(3)
    first, state = torch.rand(2), random_state.RandomState().state_dict()
    second = torch.rand(2)
    random_state.seed_everything(3)
    assert torch.equal(torch.rand(2), first)
    torch.rand(9)
    random_state.RandomState().load_state_dict(state)
    assert torch.equal(torch.rand(2), second)
