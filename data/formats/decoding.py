"""From a file to upright pixels: Pillow's image where its mode has the meaning that the file gives, else `Samples`."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError

from data.formats import bmp, jpeg, png
from data.formats.opening import MAX_PIXELS, open_image
from data.formats.samples import Samples

TOO_MANY_PIXELS = "declares more pixels than are safe to decode"
TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")
# Pixels for each byte of a file, at most; more would allocate memory for a claim that can't be true.
MAX_RATIOS = {"JPEG": 2048, "MPO": 2048, "GIF": 4096, "PPM": 8}
_UPRIGHT = {  # the transposition that turns an image upright, by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPPING = tuple(_UPRIGHT[number] for number in (5, 6, 7, 8))  # transpositions that swap height and width
Decoded = Image.Image | Samples
Sizes = Callable[[int, int], tuple[int, int]]  # from the height and width of an image to a height and width
REDUCTION = "reduction"  # key in `info` of an image decoded at reduced scale: (factor, full height, full width)
FACTORS = (8, 4, 2)  # by which libjpeg can reduce an image before the costly part of decoding


def decode(path: Path | str, every_page: bool = False, needed: Sizes | None = None) -> list[Decoded]:
    """The image of a file, upright; or all its pages. An image of Pillow has its color profile in `info`.

    `needed`: decode a JPEG at reduced scale, if its sides are then at least those that `needed` returns.

    Raises ValueError with a reason, or any error of Pillow's decoders, for a file that can't be decoded.
    """
    with open(path, "rb") as file:
        head = file.read(12)
    if head.startswith(TIFF_HEADS):
        return _decode_tiff(path, every_page)
    content = Path(path).read_bytes()
    if head.startswith(png.SIGNATURE):
        return _decode_png(content, every_page)
    if head.startswith(b"BM") and (samples := _decode_bmp(content)) is not None:
        return [samples]
    try:
        return _decode_plain(content, every_page, needed)
    except Image.DecompressionBombError:
        raise
    except Exception:
        repaired = jpeg.without_metadata(content)
        if repaired is None:
            raise
        return _decode_plain(repaired, every_page, needed)


def _decode_plain(content: bytes, every_page: bool, needed: Sizes | None) -> list[Decoded]:
    with open_image(io.BytesIO(content)) as image:
        ratio = MAX_RATIOS.get(image.format or "")
        if ratio and image.width * image.height > ratio * len(content):
            size = f"{image.width}x{image.height}"
            raise ValueError(f"can't be decoded (cut off: {len(content)} bytes can't contain {size} pixels)")
        if every_page:
            return [upright(frame.copy()) for frame in ImageSequence.Iterator(image)]
        if needed and image.format in ("JPEG", "MPO"):
            _reduce(image, needed)
        image.load()
        return [_drop_empty_alpha(upright(image))]


def _reduce(image: Image.Image, needed: Sizes) -> None:
    """Have a JPEG decoded at the smallest of the scales 1/8, 1/4 and 1/2 that is large enough, if any is.

    If the factor does not divide a side, the last row or column lies partly outside the image. When an image is turned
    upright, that row or column may become the first one, so the factor must then divide both sides.
    """
    turn = _UPRIGHT.get(orientation(image))  # type: ignore[arg-type]
    size = (image.width, image.height) if turn in _SWAPPING else (image.height, image.width)
    least = needed(*size)
    for factor in FACTORS:
        is_large = all(side // factor >= wanted for side, wanted in zip(size, least, strict=True))
        if is_large and (turn is None or not any(side % factor for side in size)):
            image.draft(None, (image.width // factor, image.height // factor))
            image.info[REDUCTION] = (factor, *size)
            return


def _drop_empty_alpha(image: Image.Image) -> Image.Image:
    """A BMP whose alpha is 0 everywhere, as RLE and unusual masks leave it, has none."""
    if image.format != "BMP" or image.mode != "RGBA" or image.getchannel("A").getextrema()[1]:
        return image
    return image.convert("RGB")


def _decode_png(content: bytes, every_page: bool) -> list[Decoded]:
    parsed = png.parse(content)
    try:
        return _decode_parsed_png(parsed, parsed.content, every_page)
    except Image.DecompressionBombError:
        raise
    except Exception:
        if not parsed.essential:
            raise
        return _decode_parsed_png(parsed, parsed.essential, every_page)


def _decode_parsed_png(parsed: png.Png, content: bytes, every_page: bool) -> list[Decoded]:
    with open_image(io.BytesIO(content)) as image:
        if every_page and getattr(image, "n_frames", 1) > 1:
            return [upright(frame.copy()) for frame in ImageSequence.Iterator(image)]
        image.info["icc_profile"] = parsed.profile
        decoded = png.decode(parsed, image)
        return [decoded.turned(orientation(image)) if isinstance(decoded, Samples) else upright(decoded)]


def _decode_bmp(content: bytes) -> Samples | None:
    header = bmp.parse(content)
    if header is not None and header.width * header.height > MAX_PIXELS:
        raise ValueError(TOO_MANY_PIXELS)
    if (
        header is not None
        and header.compression == 0
        and len(content) - header.offset < header.row_bytes * (header.height - 1)
    ):
        raise ValueError("can't be decoded (cut off)")
    return bmp.decode(content)


def _decode_tiff(path: Path | str, every_page: bool) -> list[Decoded]:
    """The page, or all pages, of a TIFF by the tags that tifffile reads; if it can't, by those that Pillow reads."""
    from data.formats import tiff, tiff_tags  # here: tifffile takes a tenth of a second, and few datasets need it

    try:
        first, pages = tiff_tags.read_tags(path, every_page)
    except Exception as error:
        return _decode_tiff_by_pillow(path, every_page, error)
    decoded: list[Decoded] = []
    for index, tags in enumerate(pages, first):
        if tags.width * tags.height > MAX_PIXELS:
            raise ValueError(TOO_MANY_PIXELS)
        tiff.check_claim(path, tags)
        if not tiff_tags.describes_mode(tags):
            decoded.append(tiff.decode(path, tags))
            continue
        try:
            decoded.append(_load_page(path, index))
        except (UnidentifiedImageError, SyntaxError):  # a mode that Pillow lacks
            decoded.append(tiff.decode(path, tags))
    return decoded


def _load_page(path: Path | str, index: int) -> Image.Image:
    with open_image(path) as image:
        if index:
            image.seek(index)
        image.load()  # this also turns it upright
        return image.copy()


def _decode_tiff_by_pillow(path: Path | str, every_page: bool, error: Exception) -> list[Decoded]:
    """As Pillow opens it, if the tags that Pillow reads agree with its mode; else ValueError with tifffile's error."""
    from data.formats import tiff_tags

    with open_image(path) as image:
        decoded: list[Decoded] = []
        for frame in ImageSequence.Iterator(image) if every_page else [image]:
            tags = tiff_tags.create_tags(frame.tag_v2.get, frame.tag_v2.prefix == b"MM")  # type: ignore[attr-defined]
            if not tiff_tags.describes_mode(tags):
                raise ValueError(f"has damaged tags ({error})") from error
            frame.load()
            decoded.append(frame.copy())
    return decoded


def orientation(image: Image.Image) -> int | None:
    """EXIF's orientation; None if there is none, or the EXIF block is damaged: the pixels need not be."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        return None


def upright(image: Image.Image) -> Image.Image:
    """The image, transposed according to its EXIF orientation.

    ImageOps.exif_transpose can't be used: it rewrites the whole EXIF block, and fails if a byte of it is damaged.
    """
    turn = _UPRIGHT.get(orientation(image))  # type: ignore[arg-type]
    return image if turn is None else image.transpose(turn)


def class_ids(path: Path | str) -> np.ndarray:
    """The integers (H, W) that a file with a single channel stores; of one with a palette, the indices.

    Raises ValueError for a file with several channels, or any error of Pillow's decoders.
    """
    with open(path, "rb") as file:
        head = file.read(12)
    if head.startswith(TIFF_HEADS):
        from data.formats import tiff, tiff_tags

        _, pages = tiff_tags.read_tags(path, every_page=False)
        if pages[0].samples == 1 and pages[0].compression in tiff.READABLE and pages[0].photometric != 0:
            return tiff.stored_values(path, pages[0]).astype(np.int64)
        image = _load_page(path, 0)
        return _ids_of(image)
    content = Path(path).read_bytes()
    if not head.startswith(png.SIGNATURE):
        with open_image(io.BytesIO(content)) as image:
            image.load()
            return _ids_of(upright(image))
    parsed = png.parse(content)
    plain = replace(parsed, color_type=png.RGB, depth=8, transparent=())  # whatever Pillow makes of it
    decoded = _decode_parsed_png(plain, parsed.content, every_page=False)[0]
    assert isinstance(decoded, Image.Image)
    return png.stored_levels(parsed, _ids_of(decoded))


def _ids_of(image: Image.Image) -> np.ndarray:
    if image.mode not in ("1", "L", "P", "I") and not image.mode.startswith("I;16"):
        raise ValueError(f"is not a map of class ids, which has a single channel: its pixels are {image.mode}")
    return np.asarray(image).astype(np.int64)
