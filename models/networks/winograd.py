"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).

The image is split into 6x6 tiles that overlap by 2; each tile gives a 4x4 tile of the output. With the matrices of
section 4.3 of the paper, the output of a tile is (equation 13)

    Y = A^T [ (G g G^T) * (B^T d B) ] A

where g is the 3x3 filter, d the input tile, and * the elementwise product. The sum over channels is inside the
brackets, so that each of the 36 elements takes one matrix product. A two-sided transform P^T d P is one matrix product
too: the Kronecker product of P^T with itself, times the tile as a vector.

The backward pass applies the transposed transforms in reverse order. Only the input and the filters are saved for it;
the transformed input (36 values for each 16 outputs) is recomputed.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE, OUT = 6, 4  # the sides of an input tile and of an output tile
ELEMENTS = TILE * TILE

B_T = torch.tensor(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    dtype=torch.float64,
)
G = torch.tensor(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    dtype=torch.float64,
)
A_T = torch.tensor(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], dtype=torch.float64
)
# The transforms of tiles as vectors, in row-major order.
TO_TILES, TO_FILTERS, TO_OUTPUT = (torch.kron(matrix, matrix) for matrix in (B_T, G, A_T))
BIAS_ELEMENT = TILE + 1  # element (1, 1): A^T [] A adds it to all outputs of a tile, so that the bias is added to it


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Equals F.conv2d(x, weight, bias) up to rounding: x (N, C, H, W), weight (K, C, 3, 3), bias (K,); H, W at least 3.

    In float32, errors of the output and of gradients are about 1e-5 of the largest value.
    """
    y: Tensor = _Convolution.apply(x, weight, bias)
    return y


def convolve_with(x: Tensor, filters: Tensor, bias: Tensor | None = None) -> Tensor:
    """Like `convolve`, but without gradients, and with transformed filters (see `transform_filters`)."""
    outputs = _transform(TO_OUTPUT, _products(_transform_tiles(x), filters, bias))  # (16, T, K)
    return _join_output(outputs, x.shape)


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return convolve_with(x, transform_filters(weight), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        grad_products = _transform(TO_OUTPUT.T, _split_output(gradients[0]))  # (36, T, K)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[1]:
            grad_filters = _products(grad_products.transpose(1, 2), _transform_tiles(x).transpose(1, 2))  # (36, K, C)
            grad_weight = _transform(TO_FILTERS.T, grad_filters).permute(1, 2, 0).reshape(weight.shape)
        if ctx.needs_input_grad[0]:
            grad_tiles = _products(grad_products, transform_filters(weight.transpose(0, 1)))  # (36, T, C)
            grad_x = _join_tiles(_transform(TO_TILES.T, grad_tiles), x.shape)
        if ctx.needs_input_grad[2]:
            grad_bias = grad_products[BIAS_ELEMENT].sum(0)
        return grad_x, grad_weight, grad_bias


def transform_filters(weight: Tensor) -> Tensor:
    """G g G^T of every filter: (K, C, 3, 3) to (36, K, C)."""
    K, C = weight.shape[:2]
    return _product(TO_FILTERS.to(weight), weight.reshape(K * C, 9)).view(ELEMENTS, K, C)


def count_tiles(shape: torch.Size) -> int:
    """The number of tiles of images (N, C, H, W)."""
    N, _, H, W = shape
    return N * _tiles_across(H - 2) * _tiles_across(W - 2)


def _transform_tiles(x: Tensor) -> Tensor:
    """B^T d B of every tile: (N, C, H, W) to (36, T, C)."""
    return _transform(TO_TILES, _split_tiles(x))


def _transform(matrix: Tensor, tiles: Tensor) -> Tensor:
    """A transform (out, in) times tiles as vectors (in, ...): (out, ...)."""
    return _product(matrix.to(tiles), tiles.reshape(len(tiles), -1).T).view(len(matrix), *tiles.shape[1:])


# Matrix products. oneDNN is up to twice as fast as MKL on CPUs that MKL is not optimized for. For float32 matrices,
# torch calls it only through this operator.


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(m, k) times the transpose of (n, k), plus a bias (n,)."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and _HAS_ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return F.linear(a, b, bias)


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _products(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(36, m, k) times the transposes of (36, n, k), with a bias (n,) of the convolution's output."""
    products = a.new_empty(ELEMENTS, a.shape[1], b.shape[1])
    for i in range(ELEMENTS):
        products[i] = _product(a[i], b[i], bias if i == BIAS_ELEMENT else None)
    return products


# Splitting images into tiles and joining them. Channels are last, so that copies are contiguous.


def _tiles_across(length: int) -> int:
    """The number of tiles along an output side of this length."""
    return -(-length // OUT)


def _pad(x: Tensor, height: int, width: int) -> Tensor:
    """Pad images with zeros at the bottom and right to this size; returns channels-last format."""
    if x.shape[-2:] != (height, width):  # F.pad copies even without padding
        x = F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
    return x.contiguous(memory_format=torch.channels_last)


def _split_tiles(x: Tensor) -> Tensor:
    """The tiles of images (N, C, H, W) as vectors (36, T, C), zero beyond the border."""
    N, C, H, W = x.shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    x = _pad(x, OUT * rows + 2, OUT * columns + 2)
    n, c, h, w = x.stride()
    tiles = x.as_strided((TILE, TILE, N, rows, columns, C), (h, w, n, OUT * h, OUT * w, c))
    return tiles.contiguous().view(ELEMENTS, N * rows * columns, C)


def _join_tiles(tiles: Tensor, shape: torch.Size) -> Tensor:
    """The transpose of `_split_tiles`, for gradients: overlapping values are added."""
    N, C, H, W = shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    tiles = tiles.view(TILE, TILE, N, rows, columns, C)
    x = tiles.new_zeros(N, rows + 1, OUT, columns + 1, OUT, C)
    body, edge = slice(0, OUT), slice(OUT, TILE)
    for i, down in ((body, 0), (edge, 1)):
        for j, right in ((body, 0), (edge, 1)):
            part = tiles[i, j]
            target = x[:, down : down + rows, : part.shape[0], right : right + columns, : part.shape[1]]
            target += part.permute(2, 3, 0, 4, 1, 5)
    return x.view(N, OUT * (rows + 1), OUT * (columns + 1), C)[:, :H, :W].permute(0, 3, 1, 2)


def _split_output(y: Tensor) -> Tensor:
    """The 4x4 output tiles of images (N, K, H, W) as vectors (16, T, K), zero beyond the border."""
    N, K, H, W = y.shape
    rows, columns = _tiles_across(H), _tiles_across(W)
    y = _pad(y, OUT * rows, OUT * columns)
    tiles = y.permute(0, 2, 3, 1).view(N, rows, OUT, columns, OUT, K)
    return tiles.permute(2, 4, 0, 1, 3, 5).reshape(OUT * OUT, N * rows * columns, K)


def _join_output(tiles: Tensor, shape: torch.Size) -> Tensor:
    """Join 4x4 output tiles (16, T, K) to images (N, K, H - 2, W - 2); `shape` is that of the input (N, C, H, W)."""
    N, _, H, W = shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    tiles = tiles.view(OUT, OUT, N, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
    y = tiles.reshape(N, OUT * rows, OUT * columns, tiles.shape[-1])
    return y[:, : H - 2, : W - 2].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
