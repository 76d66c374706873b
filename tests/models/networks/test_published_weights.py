"""Weight files in the published layout can be loaded, and saved files have the same layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from models.networks.discriminators import create_discriminator
from models.networks.generators import create_generator
from tests.models.networks.test_generators import LAYOUTS
from util.runs.weights import load_weights, save_weights

NAMES = [name for name in LAYOUTS if name.startswith("D/")]
NAMES += [
    "G/unet_128/norm=batch/dropout=on",
    "G/unet_256/norm=instance/dropout=off",
    "G/resnet_6blocks/norm=batch/dropout=on",
]


def create(name: str) -> nn.Module:
    kind, net, third, fourth = name.split("/")
    if kind == "D":
        n_layers, norm = int(third.split("=")[1]), fourth.split("=")[1]
        return create_discriminator(net, input_nc=3, n_layers_D=n_layers, norm=norm)
    norm, dropout = third.split("=")[1], fourth == "dropout=on"
    return create_generator(net, input_nc=3, output_nc=3, norm=norm, use_dropout=dropout)


def value(key: str, shape: list[int]) -> Tensor:
    return torch.tensor(7) if key.endswith("num_batches_tracked") else torch.randn(shape)


@pytest.mark.parametrize("name", NAMES)
def test_weights_load_both_ways(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    published = {key: value(key, shape) for key, shape in LAYOUTS[name]}
    theirs, ours = tmp_path / "theirs" / "latest_net_X.pth", tmp_path / "ours" / "latest_net_X.pth"
    for path in (theirs, ours):
        path.parent.mkdir()
    torch.save(published, theirs)
    network = create(name)
    load_weights({theirs: network})
    save_weights({ours: network})
    saved = torch.load(ours, weights_only=True)
    assert list(saved) == list(published)
    assert all(torch.equal(saved[key], published[key]) for key in published)
