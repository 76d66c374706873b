"""Counts of operators and waits of training steps on fake CUDA tensors, made in a process of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent


def count_operators(cases: Mapping[str, Sequence[str]], folder: Path) -> dict[str, dict[str, Any]]:
    """For each case, a command line of train.py: the "operators" of a step, and the "waits" for the device.

    `folder` is for temporary files. Skips the test where torch needs a driver, and there is neither one nor a compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler, for what stands in for the CUDA driver")
    (folder / "lib").mkdir()
    library = folder / "lib" / "libcuda.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(HERE / "driver.c")], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library), "LD_LIBRARY_PATH": str(library.parent)}
    worker = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fake_cuda.worker"],
        cwd=HERE.parents[1],
        env=environment,
        input=json.dumps(dict(cases)),
        capture_output=True,
        text=True,
    )
    assert worker.returncode == 0, worker.stderr[-3000:]
    counts: dict[str, dict[str, Any]] = json.loads(worker.stdout)
    return counts
