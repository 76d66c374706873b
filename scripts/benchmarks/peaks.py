"""Peak rates of a machine: operations per second of matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.benchmarks import device_time

SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices
CHANNELS, PIXELS = 256, 64  # of the convolution: a residual block for images of 256 pixels
IMAGES = {"cpu": 1, "cuda": 16}  # of the convolution: on a GPU so many that launching it takes less time than computing
REPEATS = 5
RUNS = {"cpu": 1, "cuda": 20}  # for one measurement


def gigaflops(device: torch.device, dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """The best of REPEATS measurements, in 10^9 operations per second, by name.

    float32 products are rounded to TF32 if the process is set to do so.
    """
    side = SIDE[device.type]
    settings: dict[str, Any] = {"device": device, "dtype": dtype}
    a, b = (torch.randn(side, side, **settings) for _ in range(2))
    products: dict[str, tuple[Callable[[], object], float]] = {"matrix product": (lambda: a @ b, 2 * side**3)}
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        onednn = torch.ops.mkldnn._linear_pointwise
        products["matrix product, oneDNN"] = (lambda: onednn(a, b, None, "none", [], ""), 2 * side**3)
    images = IMAGES[device.type]
    operations = 2 * 9 * CHANNELS**2 * PIXELS**2 * images
    forward, both = [], []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(images, CHANNELS, PIXELS + 2, PIXELS + 2, **settings).to(memory_format=layout)
        weight = torch.randn(CHANNELS, CHANNELS, 3, 3, **settings).to(memory_format=layout)
        forward.append(_rate(lambda x=x, weight=weight: F.conv2d(x, weight), operations, device))  # type: ignore[misc]
        x, weight = x.requires_grad_(), weight.requires_grad_()
        gradient = torch.randn(images, CHANNELS, PIXELS, PIXELS, **settings).to(memory_format=layout)
        both.append(_rate(lambda x=x, w=weight, g=gradient: _forward_and_backward(x, w, g), 3 * operations, device))  # type: ignore[misc]
    rates = {name: _rate(product, operations, device) for name, (product, operations) in products.items()}
    return rates | {"convolution": max(forward), "convolution, forward and backward": max(both)}


def _forward_and_backward(x: Tensor, weight: Tensor, gradient: Tensor) -> None:
    torch.autograd.grad(F.conv2d(x, weight), (x, weight), gradient)


def _rate(run: Callable[[], object], operations: float, device: torch.device) -> float:
    run()
    return operations / min(device_time.seconds(run, device, RUNS[device.type]) for _ in range(REPEATS)) / 1e9
