"""Translate images with the ONNX files in this folder. Needs numpy, Pillow and onnxruntime.

    pip install -r requirements.txt
    python translate.py photo.jpg more_photos --out translated
    python translate.py scan.npy --direction BtoA --out translated

Pictures become PNG files. A .npy file holds one image (height, width, channels) and becomes a .npy file; images with
other than 1 to 4 channels, or 16 bits in color, must be .npy files. config.json says which numbers are expected.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
CONFIG = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
"""Whatever the extension of a file is: Pillow would start Ghostscript for PostScript."""


class Translator:
    """Translates arrays (H, W, C) in one direction."""

    def __init__(self, direction: str) -> None:
        self.facts = CONFIG["directions"][direction]
        self.session = onnxruntime.InferenceSession(str(HERE / self.facts["file"]), providers=["CPUExecutionProvider"])

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """The translation of an image, both (H, W, C) with the numbers that config.json describes."""
        wanted = self.facts["input"]
        if image.ndim != 3 or image.shape[2] != wanted["channels"] or image.dtype != wanted["dtype"]:
            raise ValueError(
                f"needs (height, width, {wanted['channels']}) of {wanted['dtype']}, not {image.shape} of {image.dtype}"
            )
        translation: np.ndarray = self.session.run(["translation"], {"image": image[None]})[0][0]
        return translation

    def read(self, path: Path) -> np.ndarray:
        """The image of a file (H, W, C), upright; transparent images are shown over white."""
        wanted = self.facts["input"]
        if path.suffix == ".npy":
            image = np.load(path, allow_pickle=False)
            return image[:, :, None] if image.ndim == 2 else image
        with Image.open(path, formats=FORMATS) as file:
            picture = ImageOps.exif_transpose(file)
        if wanted["class_ids"]:
            return np.asarray(picture)[:, :, None]
        channels, is_deep = wanted["channels"], picture.mode.startswith("I")
        if is_deep:
            array = np.asarray(picture).astype(np.uint16)
        else:
            mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
            if channels in (1, 3) and picture.has_transparency_data:
                white = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(white, picture.convert("RGBA"))
            array = np.asarray(picture.convert(mode))
        array = array if array.ndim == 3 else np.repeat(array[:, :, None], channels, axis=2)
        if is_deep and wanted["dtype"] == "uint8":
            return np.round(array / 257).astype(np.uint8)
        return array * np.uint16(257) if not is_deep and wanted["dtype"] == "uint16" else array


def write(image: np.ndarray, path: Path) -> Path:
    """Write an image (H, W, C) as PNG where PNG can hold it, else as .npy; returns the file."""
    channels = image.shape[2]
    if path.suffix == ".npy" or channels > 4 or (image.dtype == np.uint16 and channels > 1):
        path = path.with_suffix(".npy")
        np.save(path, image)
        return path
    path = path.with_suffix(".png")
    Image.fromarray(image[:, :, 0] if channels == 1 else image).save(path)
    return path


def find(inputs: list[Path]) -> list[Path]:
    """The files, and the images in the folders."""
    found = []
    for path in inputs:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in inside if not path.is_dir() or file.suffix.lower() in (*PICTURES, ".npy")]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="image files and folders of images")
    parser.add_argument("--out", type=Path, required=True, help="folder for the translations")
    names = list(CONFIG["directions"])
    parser.add_argument("--direction", choices=names, default=names[0], help=f"default: {names[0]}")
    arguments = parser.parse_args()
    translator, failed = Translator(arguments.direction), 0
    written: dict[str, Path] = {}  # by the name of the translation
    arguments.out.mkdir(parents=True, exist_ok=True)
    for path in find(arguments.inputs):
        try:
            if path.stem in written:
                raise ValueError(f"has the same name as {written[path.stem]}")
            print(write(translator(translator.read(path)), arguments.out / path.name))
            written[path.stem] = path
        except (OSError, ValueError, KeyError) as error:
            print(f"skipped {path}: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed or not written else 0


if __name__ == "__main__":
    sys.exit(main())
