"""A small training run to inflict faults on, and its comparison with an undisturbed run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.forked import Started, start_afresh

ROOT = Path(__file__).resolve().parents[2]
# Six tiles of each domain, three epochs, 18 steps: with batch norm, dropout, pools that are full after three steps, an
# average, and a save at every step, so that a random moment often falls into one.
OPTIONS = [
    *("--netG", "resnet_6blocks", "--netD", "n_layers", "--n_layers_D", "2", "--ngf", "4", "--ndf", "4"),
    *("--norm", "batch", "--dropout", "--load_size", "36", "--crop_size", "32", "--max_dataset_size", "6"),
    *("--pool_size", "3", "--ema_decay", "0.9", "--n_epochs", "2", "--n_epochs_decay", "1", "--seed", "1"),
    *("--print_freq", "1", "--update_html_freq", "2", "--save_latest_freq", "1", "--save_epoch_freq", "1"),
    *("--display_id", "0", "--device", "cpu"),
]
# May differ: times, and what follows from them.
TIMES = {"seconds", "saved_at"}
VARIANTS = {
    "lsgan": ["--num_threads", "0"],
    "wgangp": ["--num_threads", "2", "--gan_mode", "wgangp", "--lr_policy", "plateau"],
}


class Lab:
    """A folder with the dataset, the undisturbed runs (one for each of VARIANTS), and those of the trials."""

    def __init__(self, folder: Path, start: Callable[..., Started] = start_afresh) -> None:
        """`start`: starts a program, as the functions of tests/forked.py do."""
        self.folder = folder
        self.start_program = start
        self.runs = folder / "checkpoints"
        size = ["--world_width", "1024", "--tile", "64", "--stride", "64", "--block", "128"]
        made = self.finish(self._run("scripts/make_map_dataset.py", "--out", str(folder / "maps"), *size))
        assert made.returncode == 0, made.stderr
        for variant in VARIANTS:
            done = self.finish(self.start(variant, variant))
            assert done.returncode == 0, done.stderr

    def start(self, name: str, variant: str, *options: str) -> Started:
        """Start a training of that name."""
        return self._run_on_maps("train.py", "--name", name, *OPTIONS, *VARIANTS[variant], *options)

    def resume(self, name: str, variant: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Resume that training, with its own options, to its end."""
        machine = ["--device", "cpu", *VARIANTS[variant][:2]]
        return self.finish(self._run_on_maps("train.py", "--name", name, "--continue_train", *machine, *options))

    def translate(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Translate two tiles with that run."""
        common = ["--num_test", "2", "--num_threads", "0", "--device", "cpu", "--results_dir", str(self.folder / name)]
        return self.finish(self._run_on_maps("test.py", "--name", name, *common, *options))

    def finish(self, process: Started) -> subprocess.CompletedProcess[str]:
        """Wait for the end."""
        out, errors = process.communicate(timeout=300)
        return subprocess.CompletedProcess("", process.returncode or 0, out, errors)

    def differences(self, name: str, variant: str, pictures: bool = True) -> list[str]:
        """What differs from the undisturbed run in any bit: entries of the state, weights, losses, pictures."""
        return compare(self.runs / variant, self.runs / name, pictures)

    def forget(self, name: str) -> None:
        """Remove the files of a trial."""
        shutil.rmtree(self.runs / name, ignore_errors=True)
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def _run_on_maps(self, program: str, *options: str) -> Started:
        where = ["--dataroot", str(self.folder / "maps"), "--checkpoints_dir", str(self.runs)]
        return self._run(program, *where, *options)

    def _run(self, program: str, *options: str) -> Started:
        return self.start_program(ROOT / program, options, ROOT, os.environ | {"OMP_NUM_THREADS": "1"})


def compare(one: Path, other: Path, pictures: bool = True) -> list[str]:
    """What differs in any bit between two run folders."""
    kinds = {"state": _state, "weights": _weights, "losses": _losses}
    if pictures:
        kinds["pictures"] = _pictures
    return [text for kind, read in kinds.items() for text in differences(read(one), read(other), kind)]


def _state(folder: Path) -> Any:
    objects = torch.load(folder / "latest_state.pt", weights_only=True)["objects"]
    del objects["losses"]  # length and sum of a file that contains times; the file itself is compared
    return objects


def _weights(folder: Path) -> Any:
    found: dict[str, Any] = {}
    for path in folder.glob("*.pth"):
        try:
            found[path.name] = torch.load(path, weights_only=True)
        except Exception:  # for a damaged file torch raises all kinds of errors
            found[path.name] = "unreadable"
    return found


def _losses(folder: Path) -> Any:
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def _pictures(folder: Path) -> Any:
    rows = [json.loads(line)["samples"] for line in (folder / "web" / "samples.jsonl").read_text().splitlines()]
    files = {path.name: path.read_bytes() for path in (folder / "web" / "images").iterdir()}
    return {"rows": {row["epoch"]: row for row in rows}, "files": files}


def differences(one: Any, other: Any, place: str) -> list[str]:
    """Where two values of dicts, lists and tensors differ, each as a path that begins with `place`."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        same = one.dtype == other.dtype and torch.equal(one, other)
        return [] if same else [place]
    if isinstance(one, dict) and isinstance(other, dict):
        missing = [f"{place}.{key} (in one only)" for key in one.keys() ^ other.keys()]
        common = (key for key in one.keys() & other.keys() if key not in TIMES)
        return missing + [text for key in common for text in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return [f"{place} ({len(one)} and {len(other)} entries)"]
        pairs = enumerate(zip(one, other, strict=True))
        return [text for i, (a, b) in pairs for text in differences(a, b, f"{place}[{i}]")]
    return [] if one == other else [place]
