"""3x3 convolution with a quarter of the multiplications: Winograd's F(4x4, 3x3) (Lavin and Gray 2016).

The image is cut into tiles of 6x6 that overlap by 2, each of which gives 4x4 of the output. With the matrices of the
paper's section 4.3, the output of a tile is (its equation 13)

    Y = A^T [ (G g G^T) * (B^T d B) ] A

where g is the 3x3 filter, d the tile, * a product element by element. A sum over channels goes inside the brackets,
so for each of the 36 elements there is one product of matrices. A transform from both sides, P^T d P, is one matrix
product too, of the Kronecker product of P^T with itself and the tile as a vector.

The gradients are the same steps backwards, each matrix transposed. Only the input is kept for them: what it was
transformed to, nine times as large as its share of the output, is computed again.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

TILE, OUT = 6, 4  # the sides of a tile and of what it gives
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
# For tiles as vectors, row by row.
TO_TILES, TO_FILTERS, TO_OUTPUT = (torch.kron(matrix, matrix) for matrix in (B_T, G, A_T))
OF_ALL = TILE + 1  # element (1, 1), which A^T [] A adds to all outputs of a tile alike: the place for a bias


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What F.conv2d(x, weight, bias) gives, but for rounding: x (N, C, H, W), weight (K, C, 3, 3), bias (K,).

    In float32 it is within some 1e-5 of the largest value, as are its gradients. Any H, W from 3 on.
    """
    y: Tensor = _Convolution.apply(x, weight, bias)
    return y


def convolve_with(x: Tensor, filters: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same without gradients, with the filters transformed beforehand (see `transform_filters`)."""
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
        of_products = _transform(TO_OUTPUT.T, _cut_output(gradients[0]))  # (36, T, K)
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[1]:
            of_filters = _products(of_products.transpose(1, 2), _transform_tiles(x).transpose(1, 2))  # (36, K, C)
            of_weight = _transform(TO_FILTERS.T, of_filters).permute(1, 2, 0).reshape(weight.shape)
        if ctx.needs_input_grad[0]:
            of_tiles = _products(of_products, transform_filters(weight.transpose(0, 1)))  # (36, T, C)
            of_x = _join_tiles(_transform(TO_TILES.T, of_tiles), x.shape)
        if ctx.needs_input_grad[2]:
            of_bias = of_products[OF_ALL].sum(0)
        return of_x, of_weight, of_bias


def transform_filters(weight: Tensor) -> Tensor:
    """G g G^T for every filter: (K, C, 3, 3) to (36, K, C)."""
    K, C = weight.shape[:2]
    return _product(TO_FILTERS.to(weight), weight.reshape(K * C, 9)).view(ELEMENTS, K, C)


def count_tiles(shape: torch.Size) -> int:
    """How many tiles images (N, C, H, W) are cut into."""
    N, _, H, W = shape
    return N * _tiles_across(H - 2) * _tiles_across(W - 2)


def _transform_tiles(x: Tensor) -> Tensor:
    """B^T d B for every tile: (N, C, H, W) to (36, T, C)."""
    return _transform(TO_TILES, _cut_tiles(x))


def _transform(matrix: Tensor, tiles: Tensor) -> Tensor:
    """A matrix (out, in) times tiles as vectors (in, ...): (out, ...)."""
    return _product(matrix.to(tiles), tiles.reshape(len(tiles), -1).T).view(len(matrix), *tiles.shape[1:])


# Matrix products. oneDNN's are up to twice as fast as MKL's on processors that MKL was not made for. Torch calls them
# for images; for matrices in float32 only by this operator.


def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(m, k) times the transposed of (n, k), plus a bias (n,)."""
    if a.dtype == torch.float32 and a.device.type == "cpu" and _HAS_ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, "none", [], "")
    return F.linear(a, b, bias)


_HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _products(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """(36, m, k) times the transposed of (36, n, k), with a bias (n,) of the outputs."""
    products = a.new_empty(ELEMENTS, a.shape[1], b.shape[1])
    for i in range(ELEMENTS):
        products[i] = _product(a[i], b[i], bias if i == OF_ALL else None)
    return products


# Cutting images into tiles and joining them. Channels come last, so that whole vectors of them are copied.


def _tiles_across(length: int) -> int:
    """How many tiles it takes for one side of an output of that length."""
    return -(-length // OUT)


def _pad(x: Tensor, height: int, width: int) -> Tensor:
    """Images with zeros below and to the right, up to that size; channels last."""
    if x.shape[-2:] != (height, width):  # torch would copy them even so
        x = F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]))
    return x.contiguous(memory_format=torch.channels_last)


def _cut_tiles(x: Tensor) -> Tensor:
    """The tiles as vectors, (36, T, C), of images (N, C, H, W); beyond their edge they are 0."""
    N, C, H, W = x.shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    x = _pad(x, OUT * rows + 2, OUT * columns + 2)
    n, c, h, w = x.stride()
    tiles = x.as_strided((TILE, TILE, N, rows, columns, C), (h, w, n, OUT * h, OUT * w, c))
    return tiles.contiguous().view(ELEMENTS, N * rows * columns, C)


def _join_tiles(tiles: Tensor, shape: torch.Size) -> Tensor:
    """The reverse of `_cut_tiles`, for gradients: what tiles share is added up."""
    N, C, H, W = shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    tiles = tiles.view(TILE, TILE, N, rows, columns, C)
    x = tiles.new_zeros(N, rows + 1, OUT, columns + 1, OUT, C)
    body, edge = slice(0, OUT), slice(OUT, TILE)
    for i, down in ((body, 0), (edge, 1)):
        for j, right in ((body, 0), (edge, 1)):
            part = tiles[i, j]
            place = x[:, down : down + rows, : part.shape[0], right : right + columns, : part.shape[1]]
            place += part.permute(2, 3, 0, 4, 1, 5)
    return x.view(N, OUT * (rows + 1), OUT * (columns + 1), C)[:, :H, :W].permute(0, 3, 1, 2)


def _cut_output(y: Tensor) -> Tensor:
    """The 4x4 squares as vectors, (16, T, K), of images (N, K, H, W); beyond their edge they are 0."""
    N, K, H, W = y.shape
    rows, columns = _tiles_across(H), _tiles_across(W)
    y = _pad(y, OUT * rows, OUT * columns)
    squares = y.permute(0, 2, 3, 1).view(N, rows, OUT, columns, OUT, K)
    return squares.permute(2, 4, 0, 1, 3, 5).reshape(OUT * OUT, N * rows * columns, K)


def _join_output(squares: Tensor, shape: torch.Size) -> Tensor:
    """The images that 4x4 squares (16, T, K) make, for inputs of that shape."""
    N, _, H, W = shape
    rows, columns = _tiles_across(H - 2), _tiles_across(W - 2)
    squares = squares.view(OUT, OUT, N, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
    y = squares.reshape(N, OUT * rows, OUT * columns, squares.shape[-1])
    return y[:, : H - 2, : W - 2].permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
