"""A folder of --format hub in an empty virtual environment, with only the packages that it names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference import load_generator
from tests.integration.conftest import Command


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_it_translates_the_test_images_of_the_demo(
    norm: str, train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    train("--name", "run", "--norm", norm, "--norm_D", "instance")
    command("scripts/export.py", "checkpoints/run", "--format", "hub")
    folder = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "exports" / "run" / "hub_latest", folder)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", folder / "requirements.txt"], check=True)
    has_torch = subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0
    assert not has_torch
    for direction, domain in (("AtoB", "testA"), ("BtoA", "testB")):
        out = tmp_path / direction
        program = [python, folder / "translate.py", maps / domain, "--out", out, "--direction", direction]
        subprocess.run(program, cwd=tmp_path, check=True)
        translate = load_generator(tmp_path / "checkpoints" / "run", direction, device="cpu")
        pictures = sorted((maps / domain).iterdir())
        assert len(pictures) > 10
        for path in pictures:
            found, expected = (
                np.asarray(image).astype(int) for image in (Image.open(out / path.name), translate(path))
            )
            assert found.shape == expected.shape and np.abs(found - expected).max() <= 1, path
