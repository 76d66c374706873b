"""Damaged files of every format that is read: no crash, no hang, nothing out of range, each refusal names its file.

python -m tests.faults.fuzz_readers                        # 10,000 files of each format, some minutes on one core
python -m tests.faults.fuzz_readers --files 500 --formats TIFF PNG --seed 7
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import os
import random
import resource
import struct
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import tifffile
import torch
from PIL import Image

from data.formats.image_reader import UnreadableImage, read_image, read_labels, read_reduced
from tests.conftest import tile
from tests.data.formats import writers

MOST_SECONDS = 5.0  # for a file
HANG_SECONDS = 60  # after which the program ends with a traceback
MOST_MEMORY = 2**20  # KB that reading may add to the peak of the process
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn")
HOSTILE = (0, 1, 2, 3, 127, 128, 255, 256, 4095, 13_000, 32_767, 65_535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)
TIFF_TAGS = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 330)
TIFF_TAGS += (332, 338, 339, 347, 529, 530, 532, 34665, 34675)


# Intact files.


def _saved(image: Image.Image, kind: str, **settings: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **settings)
    return out.getvalue()


def _written(write: Callable[..., Path], *arguments: Any, **settings: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write(Path(folder, "image"), *arguments, **settings).read_bytes()


def _images() -> dict[str, Image.Image]:
    picture = tile(1, 23, 17)
    deep = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    real = Image.fromarray(np.asarray(picture.convert("L"), dtype=np.float32) / 255)
    transparent = picture.copy()
    transparent.putalpha(picture.convert("L"))
    others = {mode: picture.convert(mode) for mode in ("1", "L", "P", "CMYK", "YCbCr", "LAB")}
    return {"RGB": picture, "RGBA": transparent, "LA": transparent.convert("LA"), "I;16": deep, "F": real} | others


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"
    exif.get_ifd(0x8769)[0x829A] = 0.01
    return exif.tobytes()


def _png() -> list[bytes]:
    images = _images()
    found = [_saved(images[mode], "PNG", exif=_exif()) for mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16")]
    values = np.random.default_rng(0).integers(0, 65536, (17, 23, 4))
    more = writers.chunk(b"gAMA", bytes(4)) + writers.chunk(b"tEXt", b"Comment\0hello")
    found += [_written(writers.png, values[..., :count], 16, kind, more, interlaced=True)
              for kind, count in ((0, 1), (2, 3), (4, 2), (6, 4))]  # fmt: skip
    key = writers.chunk(b"tRNS", bytes([0, 3])) + writers.chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(99)))
    return [*found, _written(writers.png, values[..., :1] % 4, 2, 0, key)]


def _jpeg() -> list[bytes]:
    images = _images()
    found = [_saved(images[mode], "JPEG", quality=80, exif=_exif()) for mode in ("L", "RGB", "CMYK")]
    profile = _saved(images["RGB"], "JPEG", progressive=True, icc_profile=bytes(300), comment=b"hello")
    return [*found, profile, _saved(images["RGB"], "MPO", save_all=True, append_images=[images["RGB"]])]


def _tiff() -> list[bytes]:
    images, compressions = _images(), ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd")
    modes = ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "F", "CMYK", "YCbCr", "LAB")
    found = [_saved(images[mode], "TIFF", compression=compressions[i % 6]) for i, mode in enumerate(modes)]
    found += [_saved(images["RGB"], "TIFF", compression=kind) for kind in (*compressions, "jpeg")]
    found += [_saved(images["1"], "TIFF", compression=kind) for kind in ("group3", "group4", "tiff_ccitt")]
    found.append(_saved(images["L"], "TIFF", save_all=True, append_images=[images["L"]] * 4))
    values = np.random.default_rng(0).integers(0, 65536, (17, 23, 4))
    for bits, samples, photometric in ((12, 1, 1), (10, 3, 2), (16, 1, 0), (16, 4, 2), (16, 3, 2), (8, 5, 1)):
        packed = writers.pack_bits(values[..., [0, 1, 2, 3, 0][:samples]].reshape(17, -1) % 2**bits, bits)
        found.append(_written(writers.tiff, (17, 23), [bits] * samples, photometric, [packed]))
    for settings in ({"tile": (16, 16)}, {"planarconfig": "separate"}, {"predictor": 2, "compression": "zlib"},
                     {"bigtiff": True}, {"byteorder": ">"}):  # fmt: skip
        out = io.BytesIO()
        tifffile.imwrite(out, np.ascontiguousarray(values[..., :3].astype(np.uint16).transpose(2, 0, 1)
                         if "planarconfig" in settings else values[..., :3].astype(np.uint16)),
                         photometric="rgb", **settings)  # fmt: skip
        found.append(out.getvalue())
    return found


def _bmp() -> list[bytes]:
    images = _images()
    found = [_saved(images[mode], "BMP") for mode in ("1", "L", "P", "RGB", "RGBA")]
    rows = np.random.default_rng(0).integers(0, 256, (17, 92)).astype(np.uint8)
    found.append(_written(writers.bmp, rows[:, :46], 23, 16, masks=(0xF00, 0xF0, 0xF)))
    found.append(_written(writers.bmp, rows, 23, 32, masks=(0x3FF00000, 0xFFC00, 0x3FF), header=108))
    found.append(_written(writers.bmp, rows, 23, 32, masks=(0xFF0000, 0xFF00, 0xFF, 0xFF000000), header=124))
    return [*found, _written(writers.bmp, rows[:, :12], 23, 4, palette=bytes(range(64)))]


def _plain(kind: str, modes: tuple[str, ...], **settings: Any) -> Callable[[], list[bytes]]:
    return lambda: [_saved(_images()[mode], kind, **settings) for mode in modes]


def _webp() -> list[bytes]:
    images = _images()
    return [_saved(images[mode], "WEBP", lossless=lossless, exif=_exif(), icc_profile=bytes(200))
            for mode in ("RGB", "RGBA") for lossless in (False, True)]  # fmt: skip


def _ppm() -> list[bytes]:
    found = _plain("PPM", ("1", "L", "RGB", "I;16", "F"))()
    return [*found, b"P2\n# gray\n2 2 15\n0 5 10 15\n", b"P3 2 1 4095 0 1 2 4095 7 8\n", b"P1 3 1 1 0 1\n"]


FORMATS: dict[str, Callable[[], list[bytes]]] = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WebP": _webp,
    "BMP": _bmp,
    "TIFF": _tiff,
    "PPM": _ppm,
    "GIF": _plain("GIF", ("L", "P", "1")),
}


# Damage.


def mutate(content: bytes, kind: str, draw: random.Random) -> bytes:
    """One to three kinds of damage, and often the checksums of a PNG made right again."""
    data = bytearray(content)
    ways = [_flip, _flip, _overwrite, _truncate, _cut, _repeat, _swap, _size, _size]
    ways += [_insert] * 4 if kind in ("PNG", "JPEG") else []
    for _ in range(draw.choice((1, 1, 2, 3))):
        if data:
            draw.choice(ways)(data, kind, draw)
    if kind == "PNG" and draw.random() < 0.7:
        _mend_checksums(data)
    return bytes(data)


def _place(data: bytearray, draw: random.Random) -> int:
    """Anywhere, but half of the time where headers are."""
    return draw.randrange(min(len(data), 200) if draw.random() < 0.5 else len(data))


def _flip(data: bytearray, kind: str, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 2, 8))):
        data[_place(data, draw)] ^= 1 << draw.randrange(8)


def _overwrite(data: bytearray, kind: str, draw: random.Random) -> None:
    start = _place(data, draw)
    length = min(len(data) - start, draw.choice((1, 2, 4, 16)))
    data[start : start + length] = draw.choice((bytes(length), b"\xff" * length, draw.randbytes(length)))


def _truncate(data: bytearray, kind: str, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _cut(data: bytearray, kind: str, draw: random.Random) -> None:
    start = _place(data, draw)
    del data[start : start + draw.choice((1, 2, 4, 50))]


def _repeat(data: bytearray, kind: str, draw: random.Random) -> None:
    start = _place(data, draw)
    part = data[start : start + draw.choice((1, 4, 12, 100))]
    data[start:start] = part * draw.choice((1, 2, 20))


def _swap(data: bytearray, kind: str, draw: random.Random) -> None:
    """Two pieces change places; of a TIFF two entries of its directory, or the codes of two tags."""
    length, (one, other) = draw.choice((2, 4, 8, 12)), (_place(data, draw), _place(data, draw))
    entries = _entries(data) if kind == "TIFF" else []
    if len(entries) > 1 and draw.random() < 0.8:
        (one, other), length = draw.sample(entries, 2), draw.choice((2, 4, 12))
    if max(one, other) + length <= len(data):
        data[one : one + length], data[other : other + length] = (
            data[other : other + length],
            data[one : one + length],
        )


def _insert(data: bytearray, kind: str, draw: random.Random) -> None:
    """Metadata of garbage: a chunk of a PNG after its header, or a segment of a JPEG at its start."""
    garbage = draw.choice((b"", b"Exif\0\0II*\0", b"ICC_PROFILE\0\1\1", b"name\0\0")) + draw.randbytes(
        draw.randrange(60)
    )
    if kind == "JPEG":
        length = draw.choice((len(garbage) + 2, len(garbage) + 2, draw.randrange(65536)))
        data[2:2] = struct.pack(">BBH", 0xFF, draw.randrange(0xE0, 0xFF), length) + garbage
        return
    names = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"gAMA", b"cHRM", b"sRGB", b"eXIf", b"tIME", b"acTL", b"tRNS", b"PLTE")
    data[33:33] = writers.chunk(draw.choice(names), garbage)


def _size(data: bytearray, kind: str, draw: random.Random) -> None:
    """A hostile number where the format has a size, an offset or a count."""
    value = draw.choice(HOSTILE)
    if kind == "TIFF" and (entries := _entries(data)):
        at = draw.choice(entries)
        order = "<" if data[:2] == b"II" else ">"
        if draw.random() < 0.3:
            struct.pack_into(order + "H", data, at, draw.choice(TIFF_TAGS))
        else:
            struct.pack_into(order + "I", data, at + draw.choice((4, 8)), value)
        return
    starts = {"PNG": (16, 20), "BMP": (2, 10, 14, 18, 22, 28, 30, 34, 46, 54), "WebP": (4, 16, 24, 26, 30, 34)}
    if kind == "PPM":
        data[3:3] = f"{value} ".encode() * draw.choice((1, 2))
        return
    at = draw.choice(starts.get(kind, (6, 8)))
    if kind == "JPEG":
        frames = [place for place in range(len(data) - 9) if data[place] == 0xFF and data[place + 1] in (0xC0, 0xC2)]
        at = draw.choice(frames) + draw.choice((3, 5, 6)) if frames else at
    form = (">" if kind in ("PNG", "JPEG") else "<") + ("H" if kind in ("JPEG", "GIF") else "I")
    if at + 4 <= len(data):
        struct.pack_into(form, data, at, value & (0xFFFF if form[1] == "H" else 0xFFFFFFFF))


def _entries(data: bytearray) -> list[int]:
    """Where the entries of a TIFF's first directory are."""
    if len(data) < 12 or data[:2] not in (b"II", b"MM"):
        return []
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    if start + 2 > len(data):
        return []
    (count,) = struct.unpack_from(order + "H", data, start)
    return [at for at in range(start + 2, start + 2 + 12 * min(count, 40), 12) if at + 12 <= len(data)]


def _mend_checksums(data: bytearray) -> None:
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


# The trial.


@dataclass
class Outcome:
    """What became of the files of a format."""

    files: int = 0
    read: int = 0
    refused: int = 0
    slowest: float = 0.0  # seconds
    memory: int = 0  # KB that the peak of the process has grown by
    failures: list[str] = field(default_factory=list)


class Starts:
    """Notices, by Python's audit events, that a program or process is started."""

    def __init__(self) -> None:
        self.is_watching = False
        self.found: list[str] = []
        sys.addaudithook(self._hear)  # it can't be removed again

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_watching and event in STARTS:
            self.found.append(f"{event} {arguments[:2]}")


STARTED = Starts()


@contextmanager
def _watched() -> Iterator[IO[str]]:
    """Notice what is started, and silence the libraries; the real standard error, for tracebacks."""
    STARTED.found.clear()
    sys.stderr.flush()
    with open(os.dup(2), "w") as real, warnings.catch_warnings(), open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)  # libtiff prints there
        warnings.simplefilter("ignore")  # as Pillow does
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # as other code may set it
        STARTED.is_watching = True
        try:
            yield real
        finally:
            STARTED.is_watching, Image.MAX_IMAGE_PIXELS = False, limit
            os.dup2(real.fileno(), 2)


def fuzz(kind: str, files: int, seed: int, folder: Path, keep: Path | None = None) -> Outcome:
    """Read `files` damaged files of a format; those at which a promise was broken are kept in `keep`."""
    outcome, intact = Outcome(), FORMATS[kind]()
    path = folder / f"damaged.{kind.lower()}"
    for content in intact:  # the intact files themselves
        path.write_bytes(content)
        _read_intact(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with _watched() as real:
        for number in range(files):
            draw = random.Random(f"{seed} {kind} {number}")
            path.write_bytes(content := mutate(draw.choice(intact), kind, draw))
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=real)
            broken = _try(path, draw, outcome)
            if broken:
                outcome.failures.append(f"{kind} {number} (seed {seed}): {broken}")
                if keep:
                    keep.mkdir(parents=True, exist_ok=True)
                    (keep / f"{kind}_{seed}_{number}").write_bytes(content)
        faulthandler.cancel_dump_traceback_later()
    outcome.memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if outcome.memory > MOST_MEMORY:
        outcome.failures.append(f"{kind}: the peak of the memory grew by {outcome.memory >> 10} MB")
    return outcome


def _read_intact(path: Path) -> None:
    for channels in (3, 5):
        try:
            read_image(path, channels)
            return
        except UnreadableImage:
            if channels == 5:
                raise


def _try(path: Path, draw: random.Random, outcome: Outcome) -> str:
    """Read a file; the promise that was broken, or an empty string."""
    channels, labels = draw.choice((1, 2, 3, 3, 4, 5)), draw.random() < 0.1
    icc = draw.choice(("ignore", "srgb"))
    needed = draw.choice((None, lambda height, width: (8, 8)))  # as with --fast_decode
    outcome.files += 1
    start = time.perf_counter()
    try:
        image = read_labels(path, 35) if labels else read_reduced(path, channels, needed, icc=icc).pixels
        outcome.read += 1
        broken = _judge(image, 1 if labels else channels, 34 if labels else 255)
    except UnreadableImage as error:
        outcome.refused += 1
        is_named = error.path == str(path) and error.reason and "object at 0x" not in error.reason
        broken = "" if is_named else f"a refusal that does not name the file: {error}"
    except BaseException as error:
        broken = f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - start
    outcome.slowest = max(outcome.slowest, seconds)
    if seconds > MOST_SECONDS:
        broken = f"took {seconds:.1f} seconds"
    if STARTED.found:
        broken = f"started {STARTED.found.pop()}"
    return broken


def _judge(image: torch.Tensor, channels: int, most: int) -> str:
    if image.dim() != 3 or image.shape[0] != channels or not image.numel():
        return f"has the shape {tuple(image.shape)} for {channels} channels"
    if image.dtype not in (torch.uint8, torch.float32):
        return f"is {image.dtype}"
    lowest, highest = image.min().item(), image.max().item()
    return "" if 0 <= lowest <= highest <= most else f"has values {lowest} to {highest}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000, help="of each format")
    parser.add_argument("--formats", nargs="+", choices=tuple(FORMATS), default=tuple(FORMATS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the files at which a promise was broken")
    arguments = parser.parse_args()
    failures, start = [], time.monotonic()
    print("| format | files | read | refused by name | slowest |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in arguments.formats:
            found = fuzz(kind, arguments.files, arguments.seed, Path(folder), arguments.keep)
            failures += found.failures
            slowest = f"{found.slowest * 1000:.0f} ms"
            print(f"| {kind} | {found.files:,} | {found.read:,} | {found.refused:,} | {slowest} |", flush=True)
            print(f"{kind}: memory +{found.memory >> 10} MB", file=sys.stderr)
    print(*failures, sep="\n", file=sys.stderr)
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes, promises broken: {len(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
