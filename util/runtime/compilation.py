"""torch.compile (--compile): what it needs on a device, and how to do without it for a while."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from util.errors import UserError


def uncompiled(wanted: bool) -> AbstractContextManager[None]:
    """A context in which compiled networks run as if they were not, if `wanted`."""
    return torch.compiler.set_stance("force_eager") if wanted else nullcontext()


def compile_network(network: nn.Module, device: torch.device) -> None:
    """Compile a network with torch.compile, in place. The first forward pass then takes about a minute.

    Raises UserError on a CPU without a C++ compiler, and on a GPU without Triton, a C compiler or Python's headers.
    """
    if device.type == "cpu" and not any(map(shutil.which, ("g++", "clang++", "c++", "cl"))):
        raise UserError("--compile needs a C++ compiler on a CPU, and none was found: install g++, or omit --compile")
    if device.type == "cuda" and (missing := _missing_for_triton()):
        raise UserError(f"--compile needs {missing}, or omit --compile")
    network.compile()


def _missing_for_triton() -> str:
    """What is missing for compiling on a GPU, and the remedy; empty if nothing is.

    Triton compiles the kernels, and a small C extension of Python that launches each of them.
    """
    if find_spec("triton") is None:
        return "the package triton on a GPU: pip install triton"
    if sys.platform == "win32":
        return ""  # triton-windows brings its own compiler and headers
    if "CC" not in os.environ and not any(map(shutil.which, ("gcc", "clang"))):
        return "a C compiler on a GPU, and none was found: install gcc"
    # In Debian's own scheme, packages have another folder than the headers.
    scheme = sysconfig.get_default_scheme().replace("posix_local", "posix_prefix")
    if not Path(sysconfig.get_paths(scheme)["include"], "Python.h").exists():
        return "Python.h on a GPU, and it was not found: install Python's headers (on Debian and Ubuntu: python3-dev)"
    return ""
