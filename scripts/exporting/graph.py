"""The graph that is exported: stored pixels in, stored pixels out, for every size and number of images."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from scripts.exporting.source import Source
from util.errors import UserError

DTYPES = {8: torch.uint8, 16: torch.uint16}


class Translation(nn.Module):
    """A generator with everything around it: normalization, padding, cropping, rounding.

    `image` is (N, H, W, C) with numbers of 8 or 16 bits, or class ids (N, H, W, 1). Returns the translation, (N, H, W,
    C') with as many bits, and the same before rounding, float32 in [-1, 1].
    """

    def __init__(self, source: Source, bits: int, precision: str) -> None:
        super().__init__()
        self.source = prepared(source, precision)
        self.network = self.source.network  # registers its weights
        self.bits, self.multiple, self.least = bits, source.multiple, source.least

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[1:3]
        x = self.pad(self.to_input(image))
        y = self.source.model.translate(x, self.source.backwards)
        # Not slices: the exporter can't prove that the padded image is not smaller than the image.
        y = y.index_select(2, torch.arange(height)).index_select(3, torch.arange(width))
        values = y.permute(0, 2, 3, 1).contiguous()
        highest = 2**self.bits - 1
        return ((values + 1) * (highest / 2)).round().clamp(0, highest).to(DTYPES[self.bits]), values

    def to_input(self, image: Tensor) -> Tensor:
        """The network's input (N, C, H, W) from stored pixels."""
        if self.source.classes:
            ids = torch.arange(self.source.classes, dtype=torch.int32)
            return (image.int() == ids).float().permute(0, 3, 1, 2)
        return image.float().permute(0, 3, 1, 2) / ((2**self.bits - 1) / 2) - 1

    def pad(self, x: Tensor) -> Tensor:
        """Equals models.networks.sizes.pad_to_fit, by indices: padding by a number that depends on the size can't be
        exported, since its limits depend on the size too.
        """
        height, width = x.shape[-2:]
        rows, columns = (torch.arange(self._padded(side)) for side in (height, width))
        reflects = (rows[-1:] - (height - 1) < height) & (columns[-1:] - (width - 1) < width)
        x = x.index_select(2, _reflected(rows, height - 1, reflects))
        return x.index_select(3, _reflected(columns, width - 1, reflects))

    def _padded(self, side: Any) -> Any:
        return (torch.sym_max(side, self.least) + (self.multiple - 1)) // self.multiple * self.multiple


def _reflected(indices: Tensor, last: Any, reflects: Tensor) -> Tensor:
    """Indices 0, 1, ... with those beyond `last` reflected, or else replaced by `last`."""
    nearest = indices.clamp(max=last)
    return torch.where(reflects, nearest - (indices - last).clamp(min=0), nearest).clamp(min=0)


class ImageNorm(nn.Module):
    """A norm with the statistics of each image, as an ordinary instance norm; x (N, C, H, W)."""

    def __init__(self, norm: _BatchNorm | _InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return F.instance_norm(x, weight=self.weight, bias=self.bias, use_input_stats=True, eps=self.eps)


def prepared(source: Source, precision: str) -> Source:
    """A copy of a source whose networks have only layers that every exporter knows."""
    found = source.copied()
    kinds = (_InstanceNorm, _BatchNorm) if source.norm == "image" else (_InstanceNorm,)
    for parent in list(found.network.modules()):
        for name, module in parent.named_children():
            if isinstance(module, kinds) and not (isinstance(module, _InstanceNorm) and module.track_running_stats):
                setattr(parent, name, ImageNorm(module))
    if precision == "fp16":
        _compute_in_half(found.network)
    return found


def _compute_in_half(network: nn.Module) -> None:
    """Weights and layers in float16, norms in float32; the network's input and output stay float32."""
    network.half()
    norms = [module for module in network.modules() if isinstance(module, ImageNorm | _BatchNorm)]
    for norm in norms:
        norm.float()
        norm.register_forward_pre_hook(lambda module, inputs: (inputs[0].float(),))
        norm.register_forward_hook(lambda module, inputs, output: output.half())
    network.register_forward_pre_hook(lambda module, inputs: (inputs[0].half(), *inputs[1:]))
    network.register_forward_hook(lambda module, inputs, output: output.float())


def export_program(graph: Translation) -> ExportedProgram:
    """The graph as a program of torch.export with dynamic batch, height and width.

    Raises UserError if the network has an operation that can't be exported.
    """
    side = 2 * max(graph.multiple, graph.least) + 1
    image = torch.zeros(2, side, side + graph.multiple, graph.source.channels, dtype=DTYPES[graph.bits])
    dimensions = {axis: Dim(name, min=1) for axis, name in enumerate(("batch", "height", "width"))}
    try:
        with all_sizes(), torch.no_grad():
            program = torch.export.export(
                graph.eval(),
                (image,),
                dynamic_shapes=(dimensions,),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
        raise UserError(
            f"the network of --netG {graph.source.opt.netG} can't be exported, because torch.export can't trace it: "
            f"{reason_of(error)}"
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # paths of the code on this machine
    return program


@contextlib.contextmanager
def all_sizes() -> Iterator[None]:
    """A context in which torch's exporters treat a size of 1 as any other, without messages for their developers.

    Otherwise a graph would be for more than one image only, and for more than one pixel inside a U-Net. Raises
    UserError if torch is too old.
    """
    try:
        from torch.fx.experimental import _config as config

        oblivious = config.patch(backed_size_oblivious=True)  # type: ignore[attr-defined]
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"torch {torch.__version__} can't export graphs for all sizes: pip install --upgrade torch"
        ) from error
    logging.disable(logging.WARNING)
    try:
        with oblivious, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def reason_of(error: BaseException) -> str:
    """The first line of the message of an error's first cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
