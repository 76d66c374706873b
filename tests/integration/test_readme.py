"""Every command of the README works, in the order in which a reader meets them, and the Python code of the docs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.networks.generators import create_generator
from scripts import make_drawing_dataset
from tests.conftest import fitting
from tests.integration.conftest import ROOT, SMALL, Command
from util.runs.weights import save_weights

# Appended to the commands, as flags given last win: networks and images that train in seconds.
SHORTER = {
    "train.py": [*SMALL, "--n_epochs", "5", "--max_dataset_size", "1", "--display_id", "0", "--val_images", "3"],
    "test.py": ["--num_test", "1", "--num_threads", "0"],
    "scripts/translate.py": [],
    "scripts/evaluate.py": ["--device", "cpu"],
    "scripts/export.py": ["--direction", "AtoB"],
    "scripts/make_drawing_dataset.py": ["--size", "16"],
    "scripts/make_map_dataset.py": ["--world_width", "1024", "--block", "128"],
}
# Not run here: what CI itself calls, what installs, servers, and the export that fetches a package from npm. The last
# two are those of tests/scripts/test_visdom_server.py and tests/scripts/test_export_web.py.
WEB = ("python scripts/export.py checkpoints/horse2zebra_cycle_gan --format web", "python -m http.server")
ELSEWHERE = ("make demo", "make test", "pip install", "python scripts/visdom_server.py", *WEB)


def commands() -> list[str]:
    """The lines of the README's shell blocks, without comments."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def python_blocks() -> list[str]:
    """The Python code in the README and in docs/deployment.md."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/deployment.md")]
    return re.findall(r"```python\n(.*?)```", "\n".join(texts), re.DOTALL)


def prepare(folder: Path, maps: Path) -> None:
    """What the README's reader has: recipes, datasets, options, weights from elsewhere, a model of their own."""
    for dataset in ("horse2zebra", "summer2winter", "apple2orange"):
        for name in ("trainA", "trainB", "testA", "testB"):
            (folder / dataset / name).mkdir(parents=True)
            few = 2 if name.startswith("test") else 40  # enough to hold out some
            for picture in sorted((maps / name).iterdir())[:few]:
                shutil.copy(picture, folder / dataset / name)
    shutil.copytree(folder / "horse2zebra" / "testA", folder / "photos")
    Image.open(next((folder / "photos").iterdir())).save(folder / "photo.jpg")
    write_pairs(folder, maps)
    shutil.copytree(folder / "photos", folder / "photographs" / "train")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    (folder / "run.yaml").write_text("dataroot: apple2orange\nlambda_identity: 0\n")
    (folder / "checkpoints" / "mine").mkdir(parents=True)
    generator = create_generator("resnet_9blocks", input_nc=3, output_nc=3)
    save_weights({folder / "checkpoints" / "mine" / "latest_net_G.pth": generator})
    (folder / "mypackage").mkdir()
    code = "from models.cycle_gan_model import CycleGANModel\n\nclass MyModel(CycleGANModel):\n    pass\n"
    (folder / "mypackage" / "mymodel.py").write_text(code)


def write_pairs(folder: Path, maps: Path) -> None:
    """Two datasets of pairs: side by side, and in two folders, one of which holds class ids."""
    names = sorted(path.name for path in (maps / "testA").iterdir())[:2]
    for phase in ("train", "test"):
        for part in (f"facades/{phase}", f"cityscapes/{phase}A", f"cityscapes/{phase}B"):
            (folder / part).mkdir(parents=True)
        for name in names:
            A, B = (Image.open(maps / f"test{domain}" / name) for domain in "AB")
            Image.fromarray(np.hstack([A, B])).save(folder / "facades" / phase / name)
            A.convert("L").point(lambda gray: gray // 8).save(folder / "cityscapes" / f"{phase}A" / name)
            B.save(folder / "cityscapes" / f"{phase}B" / name)


def test_every_command_of_the_readme(command: Command, maps: Path, tmp_path: Path) -> None:
    for package in make_drawing_dataset.PACKAGES:
        pytest.importorskip(package, reason="pip install -r requirements-dev.txt")
    prepare(tmp_path, maps)
    seen = set()
    for line in commands():
        if line.startswith(ELSEWHERE):
            continue
        python, *arguments = shlex.split(line)
        launcher = []
        if python == "torchrun":
            count = next(number for number, word in enumerate(arguments) if word.endswith(".py"))
            launcher = ["torch.distributed.run", "--standalone", *arguments[:count]]
            arguments = arguments[count:]
        else:
            assert python == "python", line
        program, *arguments = arguments
        model = arguments[arguments.index("--model") :][:2] if "--model" in arguments else []
        command(program, *arguments, *fitting(SHORTER[program], model), launcher=launcher)
        seen.add(program)
    assert seen == set(SHORTER)
    assert len(list((tmp_path / "results").glob("*/test_*/index.html"))) >= 4
    assert len(list((tmp_path / "zebras").glob("*.png"))) == 2 and (tmp_path / "horses" / "photo.jpg").is_file()
    run_python_blocks(tmp_path)


def run_python_blocks(folder: Path) -> None:
    """Run each block in this folder, with the repository on PYTHONPATH, after the commands of the README."""
    for file in (folder / "exports").glob("*/*/*"):
        if file.suffix in (".onnx", ".pt2", ".py"):
            shutil.copy(file, folder)
    blocks = python_blocks()
    assert len(blocks) >= 4
    for block in blocks:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    with Image.open(folder / "out.png") as found, Image.open(folder / "photo.jpg") as photo:
        assert found.size == photo.size
