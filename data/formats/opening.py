"""The image formats that are read: their file extensions, and opening a file with Pillow as one of them only."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

# By Pillow's name of the format. A format without extensions is read only under the extension of another one.
FORMATS: dict[str, tuple[str, ...]] = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),  # also MPO, the JPEGs of stereo cameras and some phones
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "GIF": (),
}
MAX_PIXELS = 2 * (2**30 // 4 // 3)  # of an image; twice the limit at which Pillow warns
IMAGE_EXTENSIONS = tuple(extension for extensions in FORMATS.values() for extension in extensions)
SKIPPED_FOLDERS = ("@eaDir", "__MACOSX", ".ipynb_checkpoints")  # of a Synology NAS, macOS archives and Jupyter
# Version of the rules above. A resumed run may find other files by newer rules: see `data.fingerprint`.
READER_VERSION = 2  # part of the keys of --cache: increase it whenever a file may decode to other pixels


def open_image(source: Path | str | io.BytesIO) -> Image.Image:
    """Open a file with Pillow as one of FORMATS, whatever its extension; the caller closes it.

    Other formats are not tried: Pillow would start Ghostscript for a PostScript file named .png.
    Raises what Image.open raises, and DecompressionBombError for more than MAX_PIXELS, whatever Pillow's own limit is:
    that is a global setting, which other code may lift.
    """
    image = Image.open(source, formats=list(FORMATS))
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise Image.DecompressionBombError(f"{image.width}x{image.height} pixels")
    return image
