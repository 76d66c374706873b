"""--init_from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from models import create_model
from tests.conftest import Options
from util.errors import UserError
from util.runs.init_from import load_initial_weights


@pytest.fixture
def trained(options: Options) -> dict[str, nn.Module]:
    """The networks of a run called `old`, as saved."""
    model = create_model(opt := options("--name", "old", "--seed", 5))
    model.setup(opt)
    model.folder.mkdir(parents=True)
    model.save_networks("latest")
    return model.networks()


def start(options: Options, *flags: object) -> dict[str, nn.Module]:
    model = create_model(opt := options("--name", "new", *flags))
    model.setup(opt)
    load_initial_weights(model.networks(), opt)
    return model.networks()


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_run_gives_all_its_networks(
    options: Options, trained: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str], as_folder: bool
) -> None:
    networks = start(options, "--init_from", tmp_path / "checkpoints" / "old" if as_folder else "old")
    assert all(equal(network, trained[name]) for name, network in networks.items())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith(f"netG_A: {len(trained['G_A'].state_dict())} parameters from ")


def test_a_run_has_priority_over_a_folder_of_its_name(
    options: Options, trained: dict[str, nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "old").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert equal(start(options, "--init_from", "old")["G_A"], trained["G_A"])


def test_a_partial_fit_needs_init_partial(
    options: Options, trained: dict[str, nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "checkpoints/old/latest_net_G_B.pth"
    with pytest.raises(
        UserError, match=r"fits only partly \(netG_A: no file; netG_B: \d+ parameters from .*--init_part"
    ):
        start(options, "--init_from", file)
    networks = start(options, "--init_from", file, "--init_partial")
    assert equal(networks["G_B"], trained["G_B"]) and not equal(networks["G_A"], trained["G_A"])
    assert "netD_A: no file" in capsys.readouterr().out


def test_parameters_of_other_shapes_keep_their_initialization(options: Options, trained: dict[str, nn.Module]) -> None:
    networks = start(options, "--init_from", "old", "--init_partial", "--netG", "resnet_9blocks")
    old, new = trained["G_A"].state_dict(), networks["G_A"].state_dict()
    fitting = [name for name in old.keys() & new.keys() if old[name].shape == new[name].shape]
    assert 12 < len(fitting) < len(new)
    assert all(torch.equal(old[name], new[name]) for name in fitting)
    wider = ["--ngf", 8, "--ndf", 8, "--output_nc", 1, "--input_nc", 1, "--lambda_identity", 0, "--norm", "batch"]
    with pytest.raises(UserError, match="fits only partly"):
        start(options, "--init_from", "old", *wider)
