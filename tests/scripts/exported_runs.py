"""Runs with untrained weights whose outputs cover the whole range of values, to be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from models import create_model
from models.networks.generators import create_generator
from models.networks.layers import initialize
from options import TrainOptions
from tests.conftest import SMALL, fitting, write_tiles
from util.runs.weights import save_weights

GAIN = 0.1  # of the weights: the last layer's outputs then have a standard deviation of about 1


def save_generator(folder: Path, **network: Any) -> Path:
    """The folder of a generator's weights, latest_net_G.pth, without options.json.

    `network`: arguments of create_generator. Running statistics of batch norm are those of smooth random images.
    """
    torch.manual_seed(1)
    generator: Any = create_generator(**network, conv="direct")
    initialize(generator, "normal", GAIN)
    for norm in generator.modules():
        if isinstance(norm, _BatchNorm):
            norm.momentum = 1.0
    side = 2 * max(int(generator.multiple), 32)
    shapes = torch.rand(4, network["input_nc"], 6, 6) * 2 - 1
    with torch.no_grad():
        generator(F.interpolate(shapes, (side, side), mode="bicubic").clamp(-1, 1))
    folder.mkdir(parents=True)
    save_weights({folder / "latest_net_G.pth": generator})
    return folder


def network_options(network: dict[str, Any]) -> list[str]:
    """The same network as values of --options."""
    options = {name: value for name, value in network.items() if name != "use_dropout"}
    options["no_dropout"] = not network.get("use_dropout", False)
    return [f"{name}={value}" for name, value in options.items()]


def save_run(checkpoints: Path, name: str, dataroot: Path, *flags: str) -> Path:
    """The folder of a run with untrained weights of small networks and with options.json."""
    where = ["--dataroot", str(dataroot), "--checkpoints_dir", str(checkpoints), "--name", name]
    options = TrainOptions()
    opt = options.parse([*where, *fitting(SMALL, flags), "--init_gain", str(GAIN)])
    torch.manual_seed(1)
    model = create_model(opt)
    model.setup(opt)
    folder = checkpoints / name
    folder.mkdir(parents=True)
    model.save_networks("latest")
    options.save(opt, folder, {"trainA": {"files": 6, "bytes": 1, "sum": ""}})
    return folder


def write_domains(root: Path) -> Path:
    """Write training and test images of both domains; returns the folder."""
    for name in ("trainA", "trainB", "testA", "testB"):
        write_tiles(root / name, 3)
    return root


def save_gray_to_color(checkpoints: Path, tiles: Path) -> Path:
    """A run of a CycleGAN from gray to color."""
    return save_run(checkpoints, "cycle", tiles, "--input_nc", "1", "--lambda_identity", "0")
