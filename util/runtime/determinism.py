"""Deterministic algorithms (--deterministic). A setting of the whole process."""

from __future__ import annotations

import os

import torch

CUBLAS_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
CUBLAS_SETTINGS = (":4096:8", ":16:8")  # the values with which cuBLAS is deterministic, see its documentation


def select_algorithms(*, deterministic: bool, fixed_sizes: bool) -> None:
    """Select the algorithms of operators on a GPU. Call this before the GPU computes: cuBLAS reads its setting once.

    Args:
        deterministic: the same bits in every run. An operator that can't do this raises a RuntimeError, which
            util.errors explains.
        fixed_sizes: all images have the same size, so that cuDNN times its algorithms for this size and uses the
            fastest. Results of different algorithms differ in the last bits.
    """
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = fixed_sizes and not deterministic
    if deterministic and os.environ.get(CUBLAS_WORKSPACE) not in CUBLAS_SETTINGS:
        os.environ[CUBLAS_WORKSPACE] = CUBLAS_SETTINGS[0]
    if deterministic != torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(deterministic)
        # Otherwise torch fills every new tensor with NaN, although all of them are written before they are read.
        torch.utils.deterministic.fill_uninitialized_memory = not deterministic  # type: ignore[attr-defined]
