from __future__ import annotations

import pytest
import torch

from util.errors import UserError
from util.runtime import compilation


def test_what_compiling_on_a_gpu_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton, a C compiler and Python's headers; otherwise the first step ends with a long traceback."""
    network, gpu = torch.nn.Conv2d(1, 1, 1), torch.device("cuda")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(compilation, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--compile needs the package triton on a GPU: pip install triton, or omit"):
        compilation.compile_network(network, gpu)
    monkeypatch.setattr(compilation, "find_spec", lambda name: name)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: None)
    with pytest.raises(UserError, match="--compile needs a C compiler on a GPU, and none was found: install gcc"):
        compilation.compile_network(network, gpu)
    monkeypatch.setattr(compilation.shutil, "which", lambda name: name if name == "gcc" else None)
    monkeypatch.setattr(compilation.sysconfig, "get_paths", lambda scheme: {"include": "/missing"})
    with pytest.raises(UserError, match=r"--compile needs Python\.h on a GPU, and it was not found: .*python3-dev"):
        compilation.compile_network(network, gpu)
