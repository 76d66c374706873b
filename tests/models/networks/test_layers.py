"""Normalization layers by name, and the distributions of weight initialization."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from models.architectures import INIT_TYPES
from models.architectures import NORMS as NORM_NAMES
from models.networks.layers import NORMS, initialize, needs_bias


@pytest.fixture
def layers() -> nn.ModuleDict:
    """Large layers whose parameters are all 7 before initialization."""
    network = nn.ModuleDict(
        {
            "conv": nn.Conv2d(64, 96, 5),
            "up": nn.ConvTranspose2d(96, 64, 5),
            "linear": nn.Linear(300, 400),
            "norm": nn.BatchNorm2d(20000),
        }
    )
    for parameter in network.parameters():
        nn.init.constant_(parameter, 7.0)
    torch.manual_seed(0)
    return network


def assert_normal(values: torch.Tensor, std: float, mean: float = 0.0) -> None:
    """Check mean and standard deviation, within five standard errors, and the tails of a normal distribution."""
    error = std / math.sqrt(values.numel())
    assert values.mean().item() == pytest.approx(mean, abs=5 * error)
    assert values.std().item() == pytest.approx(std, abs=5 * error)
    assert ((values - mean).abs() > 2 * std).float().mean().item() == pytest.approx(0.0455, abs=0.005)


def test_normal_has_the_gain_as_standard_deviation(layers: nn.ModuleDict) -> None:
    initialize(layers, "normal", 0.03)
    for name in ("conv", "up", "linear"):
        assert_normal(layers[name].weight, 0.03)


def test_xavier_depends_on_fan_in_and_fan_out(layers: nn.ModuleDict) -> None:
    initialize(layers, "xavier", 0.5)
    assert_normal(layers["conv"].weight, 0.5 * math.sqrt(2 / (64 * 25 + 96 * 25)))
    assert_normal(layers["linear"].weight, 0.5 * math.sqrt(2 / (300 + 400)))


def test_kaiming_depends_on_fan_in_and_not_on_the_gain(layers: nn.ModuleDict) -> None:
    initialize(layers, "kaiming", 0.5)
    assert_normal(layers["conv"].weight, math.sqrt(2 / (64 * 25)))
    assert_normal(layers["linear"].weight, math.sqrt(2 / 300))


def test_orthogonal_rows_have_the_gain_as_norm(layers: nn.ModuleDict) -> None:
    initialize(layers, "orthogonal", 0.5)
    rows = layers["conv"].weight.flatten(1)  # 96 rows of 1600
    torch.testing.assert_close(rows @ rows.T, 0.25 * torch.eye(96), atol=1e-5, rtol=0)


@pytest.mark.parametrize("init_type", INIT_TYPES)
def test_biases_are_zero_and_batch_norm_scales_near_one(layers: nn.ModuleDict, init_type: str) -> None:
    initialize(layers, init_type, 0.02)
    assert all(not layer.bias.any() for layer in layers.values())
    assert_normal(layers["norm"].weight, 0.02, mean=1.0)


def test_initialization_depends_on_the_seed(layers: nn.ModuleDict) -> None:
    initialize(layers)
    first = layers["conv"].weight.clone()
    initialize(layers)
    assert not torch.equal(layers["conv"].weight, first)
    torch.manual_seed(0)
    initialize(layers)
    assert torch.equal(layers["conv"].weight, first)


def test_norms_by_name() -> None:
    assert set(NORMS) == set(NORM_NAMES)
    assert isinstance(NORMS["batch"](4), nn.BatchNorm2d)
    assert isinstance(NORMS["syncbatch"](4), nn.SyncBatchNorm)
    instance = NORMS["instance"](4)
    assert isinstance(instance, nn.InstanceNorm2d) and not instance.state_dict()
    x = torch.rand(2, 4, 3, 3)
    assert torch.equal(NORMS["none"](4)(x), x)


def test_only_batch_norms_need_no_bias() -> None:
    assert {norm: needs_bias(norm) for norm in NORM_NAMES} == {
        "instance": True,
        "batch": False,
        "none": True,
        "syncbatch": False,
    }
