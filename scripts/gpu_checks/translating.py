"""Checks of the trained generator: the same translations as on the CPU in float32."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from inference import load_generator
from options import TrainOptions
from scripts.benchmarks import device_time
from scripts.gpu_checks.setting import CheckFailed, Setting

# Limits of the largest and of the mean difference from the CPU in float32. Values are in [-1, 1]: a gray level of 8
# bits is 0.008.
TOLERANCES = {
    "fp32": (0.002, 1e-4),
    "tf32_conv": (0.1, 0.005),
    "tf32": (0.1, 0.005),
    "fp16": (0.1, 0.005),
    "bf16": (0.5, 0.04),
}
GAIN = "0.1"  # of the initial weights: then outputs cover the whole range of values


def translation_check(precision: str) -> Callable[[Setting], str]:
    """A check of load_generator in this precision."""

    def check(setting: Setting) -> str:
        folder, image = saved_run(setting), random_image(setting)
        expected = load_generator(folder, device="cpu", precision="fp32")(image)
        translate = load_generator(folder, device=str(setting.device), precision=precision)
        difference = (translate(image) - expected).abs()
        largest, mean = float(difference.max()), float(difference.mean())
        said = f"differs from the CPU by at most {largest:.1e}, on average by {mean:.1e}"
        bounds = TOLERANCES[precision]
        if largest > bounds[0] or mean > bounds[1]:
            raise CheckFailed(f"{said}; the limits are {bounds[0]:g} and {bounds[1]:g}")
        if float(expected.std()) < 0.1:
            raise CheckFailed("the translation has no contrast, so the comparison proves nothing")
        seconds = device_time.seconds(lambda: translate(image), setting.device, setting.steps)
        return f"{said}, {1e3 * seconds:.1f} ms an image"

    return check


def saved_run(setting: Setting) -> Path:
    """The folder of a run with untrained weights, saved by a model on the device."""
    flags, name = ("--init_gain", GAIN), "untrained"
    folder = setting.folder / name
    if not folder.exists():
        folder.mkdir()
        model = setting.build("--name", name, *flags)
        model.save_networks("latest")
        TrainOptions().save(setting.options(*flags, name=name), folder, {})
    return folder


def random_image(setting: Setting) -> Tensor:
    """Smooth random shapes (1, 3, size, size) in [-1, 1]."""
    shapes = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = torch.nn.functional.interpolate(shapes, (setting.size, setting.size), mode="bicubic")
    return image.clamp(-1, 1)
