"""Use a trained generator in Python.

from inference import load_generator

translate = load_generator("checkpoints/horse2zebra_cycle_gan")
translate("photo.jpg").save("out.png")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.conversion import ImageConverter
from data.formats.writer import Traits
from models import create_model, labels
from models.base_model import BaseModel
from models.networks.layers import has_batch_norm, use_image_statistics
from options import load_run_options
from util.errors import UserError
from util.stage import Stage

Direction = Literal["AtoB", "BtoA"]
Norm = Literal["running", "image"]
Size = Literal["input", "run"]
NOT_FINITE = (
    "the translation has values that are not finite (NaN or infinite), although all weights are finite: 16-bit numbers "
    "may overflow, so use precision fp32; otherwise check this image and the network"
)


def load_generator(
    run: str | Path,
    direction: Direction | None = None,
    epoch: str = "latest",
    device: str = "auto",
    *,
    precision: str = "auto",
    norm: Norm = "running",
    size: Size = "input",
    network_norm: str | None = None,
    **options: Any,
) -> Translator:
    """Load the generator of a run; the dataset is not needed.

    Args:
        run: the run's folder, such as checkpoints/horse2zebra_cycle_gan.
        direction: AtoB translates images like those of folder A to images like those of folder B; BtoA the reverse. By
            default the direction in which the run was trained, which is AtoB unless it had --direction BtoA.
        epoch: the weights to load: latest, best, or the number of an epoch.
        device: auto, cpu, cuda, cuda:1 or mps.
        precision: auto, fp32, tf32, tf32_conv, bf16 or fp16, see util/runtime/precision.py. auto: tf32_conv on NVIDIA
            GPUs since Ampere, fp32 elsewhere.
        norm: the statistics of batch norm. running: those of training, as in test.py --eval; image: those of the image,
            as in test.py without --eval. Dropout is off in both cases. It has no effect on instance norm.
        size: input: a translation has the size of the input; run: images are resized and cropped as by test.py with
            the options of the run.
        network_norm: --norm of a folder of weights without options.json.
        options: override options of the run, such as load_size=512 with size="run". A folder of weights without
            options.json needs those of its network, such as netG="resnet_6blocks".

    Raises:
        UserError (a ValueError): the folder is not a run, lacks the weights, or its model can't translate in this
            direction.
    """
    _check_choice("direction", direction, (None, "AtoB", "BtoA"))
    _check_choice("norm", norm, ("running", "image"), "; the norm of the network is network_norm")
    _check_choice("size", size, ("input", "run"))
    if network_norm is not None:
        options["norm"] = network_norm
    opt = load_run_options(Path(run), epoch=epoch, device=device, precision=precision, **options)
    model = create_model(opt)
    model.setup(opt)
    backwards = direction is not None and direction != opt.direction
    return Translator(model, backwards, norm=norm, size=size)


def _check_choice(name: str, value: object, choices: Sequence[str | None], remedy: str = "") -> None:
    if value not in choices:
        named = " or ".join(repr(choice) for choice in choices if choice is not None)
        raise UserError(f"{name}={value!r} must be {named}{remedy}")


class Translator:
    """Translates images with a trained generator. Several threads may use one translator at the same time."""

    def __init__(
        self, model: BaseModel, backwards: bool = False, *, norm: Norm = "running", size: Size = "input"
    ) -> None:
        """Take over a model with loaded weights, and set it to eval mode. Raises UserError if it can't translate."""
        self.model, self.backwards = model, backwards
        model.eval()
        network = model.generator(backwards)
        if norm == "image":
            use_image_statistics(network)
        self.one_by_one = norm == "image" and has_batch_norm(network)
        """Whether a batch would mix the statistics of its images."""
        padded = model.image_sizes(Stage.TEST).padded
        channels = model.input_channels(backwards)
        self.converter = ImageConverter(model.opt, channels, original_size=size == "input", padded=padded)

    @overload
    def __call__(self, image: str | Path | Image.Image) -> Image.Image: ...
    @overload
    def __call__(self, image: np.ndarray) -> np.ndarray: ...
    @overload
    def __call__(self, image: Tensor) -> Tensor: ...
    @overload
    def __call__(self, image: Sequence[Any]) -> list[Any]: ...
    def __call__(self, image: Any) -> Any:
        """The translation of an image, or the translations of a list of images, each of the same kind as its source.

        - A PIL image, or the path of a file: a PIL image; L, LA, RGB or RGBA, by the channels of the output.
          Gray of 16 bits (mode I;16) or floating point (F) keeps its depth if the output is gray.
        - An array (H, W, C), or (H, W) for gray: an array of the same type. uint8 is in 0..255, uint16 in 0..65535,
          floating point in 0..1.
        - A tensor (C, H, W) or (N, C, H, W), floating point in -1..1: a tensor of the same type, on the same device.
          It has no gradients.

        A run trained with --label_nc takes class ids: arrays (H, W), tensors (1, H, W), PIL images of mode L or P.
        Images of equal size in a list are translated together; this may change float32 results in the last bits.

        Raises ValueError for other images, wrong channels, values outside the range or NaN, and an empty list;
        UnreadableImage for a path that can't be read.
        """
        if isinstance(image, list | tuple):
            return self._batch(image)
        if isinstance(image, Tensor) and image.ndim == 4:
            return torch.stack(self._batch(image.unbind()))
        return self._batch([image])[0]

    def _batch(self, images: Sequence[Any]) -> list[Any]:
        if not images:
            raise ValueError("an empty list or batch of images: pass at least one image")
        sources = [self.converter.source(image) for image in images]
        groups: dict[object, list[int]] = {}
        for index, source in enumerate(sources):
            groups.setdefault(index if self.one_by_one else source.x.shape, []).append(index)
        translations: list[Any] = [None] * len(images)
        for indices in groups.values():
            batch = self.translate(torch.stack([sources[index].x.to(self.model.device) for index in indices]))
            for index, translation in zip(indices, batch, strict=True):
                translations[index] = sources[index].restore(translation)
        return translations

    def translate_file(self, path: Path) -> tuple[Tensor, Traits]:
        """The translation (C, H, W) of an image file in [-1, 1], and what data.formats.writer needs to write it.

        Raises UnreadableImage; ValueError as `translate`.
        """
        x, traits = self.converter.file(path)
        return self.translate(x[None])[0], traits

    def translate(self, images: Tensor) -> Tensor:
        """Translations (N, C', H, W) of images (N, C, H, W), both in [-1, 1], on the model's device.

        Inputs are not checked. For a run trained with --label_nc, images are class ids, uint8 (N, 1, H, W). Images are
        padded at the right and at the bottom to the sizes that the network takes, and cropped back.

        Raises ValueError if a translation is not finite.
        """
        images = self.model.to_device(images)
        with torch.inference_mode(), self.model.precision.autocast():
            if self.converter.label_nc:
                images = labels.one_hot(images, self.converter.label_nc)
            translations = self.model.translate(images, self.backwards)
            if not all(map(math.isfinite, torch.stack(torch.aminmax(translations)).tolist())):  # faster than isfinite
                raise ValueError(NOT_FINITE)
        return translations
