"""--deterministic works for every model: a step has no operator without a deterministic implementation on CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.networks.generators import create_generator
from tests.models.test_registry_sweep import VARIANTS, Build, build, train  # noqa: F401  # build is a fixture

# The operators for images that torch.use_deterministic_algorithms refuses on CUDA, from its documentation.
REFUSED = {
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward"),
    *("max_unpool2d", "reflection_pad1d_backward", "reflection_pad2d_backward", "replication_pad1d_backward"),
    *("replication_pad2d_backward", "upsample_linear1d_backward", "upsample_bilinear2d_backward"),
    *("upsample_bicubic2d_backward", "_upsample_bilinear2d_aa_backward", "_upsample_bicubic2d_aa_backward"),
    *("nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward", "put_", "put", "histc", "bincount"),
    *("grid_sampler_2d_backward", "_embedding_bag", "median", "kthvalue", "avg_pool3d_backward"),
}
# Those of them that a CPU runs, and that are replaced on a GPU: the last two by torch.nn.functional, the first here.
REPLACED = {"reflection_pad2d_backward", "replication_pad2d_backward", "upsample_bilinear2d_backward"}
KINDS = VARIANTS | {
    "cycle_gan, bilinear": ["--model", "cycle_gan", "--upsample", "bilinear", "--padding_type", "replicate"],
    "cycle_gan, diffaug": ["--model", "cycle_gan", "--augment", "diffaug", "--lambda_color", "1", "--ema_decay", "0.9"],
    "cycle_gan, wgangp": ["--model", "cycle_gan", "--gan_mode", "wgangp"],
    "cycle_gan, batch norm": ["--model", "cycle_gan", "--norm", "batch", "--dropout"],
}


class Operators(TorchDispatchMode):
    """Collects the names of the operators that run, in the backward pass too."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def restored() -> Iterator[None]:
    """Restore the setting after the test."""
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("kind", KINDS)
def test_every_model(kind: str, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setitem(VARIANTS, kind, KINDS[kind])
    model = build(kind)
    with Operators() as operators:
        train(model, 1)
    assert "convolution_backward" in operators.names
    assert operators.names & REFUSED <= REPLACED


@pytest.mark.parametrize("upsample", ["basic", "bilinear"])
@pytest.mark.parametrize("is_deterministic", [False, True])
def test_reflection_padding_is_replaced(is_deterministic: bool, upsample: str, restored: None) -> None:
    """Tensors without memory (meta) take the way of a GPU."""
    torch.use_deterministic_algorithms(is_deterministic)
    generator = create_generator(
        "resnet_6blocks", input_nc=3, output_nc=3, ngf=4, norm="instance", upsample=upsample
    ).to("meta")
    with Operators() as operators:
        generator(torch.ones(1, 3, 32, 32, device="meta", requires_grad=True)).sum().backward()
    assert "convolution_backward" in operators.names
    assert ("reflection_pad2d_backward" in operators.names) is not is_deterministic
