"""Runs programs in forks of a process that has imported torch already, which saves seconds for each.

Each program still has a process, a working folder, an environment and output of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

IMPORTED = ("torch", "torch._dynamo", "torch.utils.data", "torchvision.transforms.v2.functional", "torchvision.utils")
IMPORTED += ("numpy", "PIL.Image", "tifffile", "tqdm", "dominate", "yaml")


def run(
    program: Path, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The result of `python program arguments` in a folder, as subprocess.run returns it, with the output as text."""
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        command = [sys.executable, str(program), *arguments]
        return subprocess.run(
            command, cwd=folder, env=dict(environment), capture_output=True, text=True, timeout=timeout
        )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    with TemporaryDirectory() as place:
        outputs = [Path(place, name) for name in ("out", "err")]
        process = context.Process(target=_main, args=(program, arguments, folder, dict(environment), outputs))
        process.start()
        process.join(timeout)
        if process.is_alive():
            process.kill()
            raise subprocess.TimeoutExpired([str(program), *arguments], timeout)
        texts = [output.read_text(encoding="utf-8") for output in outputs]
    return subprocess.CompletedProcess([str(program), *arguments], process.exitcode or 0, *texts)


def _main(
    program: Path, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], outputs: Sequence[Path]
) -> None:
    """Become `python program arguments`."""
    for number, output in enumerate(outputs, start=1):
        os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(program), *arguments]
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(program.parent), *folders]
    for file in (Path(folder, "sitecustomize.py") for folder in folders):
        if file.is_file():  # as Python does at its start
            runpy.run_path(str(file))
    try:
        runpy.run_path(str(program), run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # a forked process leaves them out
