"""Use a trained generator in Python.

from PIL import Image
from inference import load_generator

translate = load_generator("checkpoints/horse2zebra_cycle_gan")
translate(Image.open("photo.jpg")).save("out.png")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from data.formats.image_reader import image_to_tensor, read_image
from models import create_model
from models.base_model import BaseModel
from models.networks.sizes import pad_to_fit
from options import load_run_options
from util.errors import UserError
from util.images import to_array

Direction = Literal["AtoB", "BtoA"]


def load_generator(
    run: str | Path,
    direction: Direction | None = None,
    epoch: str = "latest",
    device: str = "auto",
    **options: Any,
) -> Translator:
    """The generator of a run, ready to translate images; the dataset is not needed.

    Args:
        run: the run's folder, such as checkpoints/horse2zebra_cycle_gan.
        direction: from images like those of folder A to images like those of folder B, or back. By default the
            direction in which the run was trained, which is AtoB unless it had --direction BtoA.
        epoch: which weights to load, as --epoch names them.
        device: auto, cpu, cuda, cuda:1 or mps.
        options: override options of the run. A folder of weights without options.json needs those of its network, such
            as netG="resnet_6blocks".

    Raises:
        UserError: the folder is not a run, lacks the weights, or its model can't translate in this direction.
    """
    opt = load_run_options(Path(run), epoch=epoch, device=device, **options)
    model = create_model(opt)
    model.setup(opt)
    model.eval()
    if direction not in (None, "AtoB", "BtoA"):
        raise UserError(f"direction={direction!r} must be 'AtoB' or 'BtoA'")
    if getattr(opt, "label_nc", 0):
        raise UserError(f"{run} translates maps of class ids (--label_nc {opt.label_nc}): use test.py")
    backwards = direction is not None and direction != opt.direction
    model.generator(backwards)  # raises UserError if the model has none for this direction
    return Translator(model, backwards)


class Translator:
    """Translates images with a trained generator, without dropout and with batch norm's running statistics."""

    def __init__(self, model: BaseModel, backwards: bool = False) -> None:
        self.model, self.backwards = model, backwards

    def __call__(self, image: Image.Image | str | Path) -> Image.Image:
        """The translation of an image, in the image's size; RGB, or as the generator's output grayscale, LA or RGBA.

        Raises UnreadableImage for a path that can't be read.
        """
        channels = self.model.input_channels(self.backwards)
        icc = getattr(self.model.opt, "icc", "ignore")
        if isinstance(image, str | Path):
            pixels = read_image(image, channels, icc=icc)
        else:
            pixels = image_to_tensor(image, channels, icc)
        x = pixels.float().div(127.5).sub(1)
        y = self.translate(x.unsqueeze(0).to(self.model.device))[0]
        picture = Image.fromarray(to_array(y))
        return picture.convert("L") if len(y) == 1 else picture

    def translate(self, images: Tensor) -> Tensor:
        """Translations (N, C', H, W) of images (N, C, H, W), both in [-1, 1], on the model's device.

        Images are padded at the right and at the bottom to the sides that the network takes, and cropped back.
        """
        height, width = images.shape[-2:]
        with torch.inference_mode(), self.model.precision.autocast():
            padded = pad_to_fit(images, self.model.generator(self.backwards))
            return self.model.translate(padded, self.backwards)[..., :height, :width]
