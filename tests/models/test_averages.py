"""Moving averages against hand arithmetic, and state dicts of earlier versions."""

from __future__ import annotations

import pytest
from torch import nn
from torch.optim.swa_utils import AveragedModel

from models.averages import MovingAverage, create_averages


def test_each_update_moves_towards_the_weights_with_a_warm_up() -> None:
    network = nn.Linear(1, 1, bias=False)
    average, expected = MovingAverage(network, 0.9), 0.0
    for step, value in enumerate([3.0, 5.0, -2.0, 4.0]):
        nn.init.constant_(network.weight, value)
        average.update(network)
        decay = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert int(average.n_averaged) == 4 and network.weight.item() == 4


def test_running_statistics_are_averaged_and_counts_copied() -> None:
    network = nn.BatchNorm2d(1)
    average = MovingAverage(network, 0.5)
    for mean in (1.0, 3.0):
        network.running_mean.fill_(mean)
        network.num_batches_tracked += 1
        average.update(network)
    assert average.module.running_mean.item() == pytest.approx(2 / 11 * 1 + 9 / 11 * 3)
    assert average.module.num_batches_tracked == 2


def test_averages_of_earlier_versions_are_restored() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    earlier = AveragedModel(network, use_buffers=True)
    earlier.update_parameters(network)
    average = MovingAverage(network, 0.9)
    average.load_state_dict(earlier.state_dict())
    assert average.state_dict().keys() == earlier.state_dict().keys()
    assert int(average.n_averaged) == 1 and average.n_averaged.device.type == "cpu"


def test_no_averages_without_a_decay() -> None:
    assert create_averages({"G": nn.Linear(1, 1)}, ["G"], 0) == {}
