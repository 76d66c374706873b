"""Decoded and resized images, kept for the next epochs: by all loader workers together, in memory or on disk.

An entry is found by a key that changes with whatever the pixels depend on. It is uint8 or float32, (C, H, W).
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import struct
import sys
import tempfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import PIL
import torch
from torch import Tensor

from util.runtime.processes import processes

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

DTYPES = (torch.uint8, torch.float32)
MOST_MAPS = 2**14  # that a process keeps open; Linux allows it four times as many
Entry = tuple[Tensor, bool]  # an image, and whether it was transparent


def make_key(paths: Sequence[Path], settings: str) -> bytes | None:
    """16 bytes for these files as they are now, decoded with these settings; None where one is missing."""
    # Other versions may decode and resize to other bits.
    parts = [settings, PIL.__version__, torch.__version__]
    try:
        for path in paths:
            status = os.stat(path)
            parts += [os.path.abspath(path), str(status.st_size), str(status.st_mtime_ns)]
    except OSError:
        return None
    return hashlib.blake2b(os.fsencode("\0".join(parts)), digest_size=16).digest()


class ImageCache(ABC):
    """Made before the workers are started; it reaches them by fork or by pickling.

    Nothing that goes wrong with it is an error: `trouble` is a sentence for the user, and what is not kept is read
    again. An image that comes out of it must not be written to.
    """

    def __init__(self) -> None:
        self.trouble = ""

    @abstractmethod
    def get(self, key: bytes) -> Entry | None:
        """What was put in under the key, whole, or None."""

    @abstractmethod
    def put(self, key: bytes, image: Tensor, transparent: bool) -> None:
        """Keep an image, if there is room."""


class DiskCache(ImageCache):
    """A file for each image, mapped into memory and, up to MOST_MAPS, kept so; the folder may be removed at any time.

    Files take their name when they are whole, and are told by their length from such as lost their end in a power cut.
    """

    HEADER = struct.Struct("<4s??2xIII")  # "IMG1", float32?, transparent?, C, H, W

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.full = False
        self._maps: dict[bytes, Entry] = {}  # the oldest first
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            self._give_up(error)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_maps": {}}

    def get(self, key: bytes) -> Entry | None:
        if key not in self._maps:
            entry = self._read(key)
            if entry is None:
                return None
            if len(self._maps) >= MOST_MAPS:
                del self._maps[next(iter(self._maps))]
            self._maps[key] = entry
        return self._maps[key]

    def _read(self, key: bytes) -> Entry | None:
        name = str(self._file(key))
        try:
            size = os.path.getsize(name)
            if size < self.HEADER.size:
                return None
            # Unlike Python's own maps, torch's hold no file open: a process may have few of those.
            content = torch.from_file(name, shared=False, size=size, dtype=torch.uint8)
        except (OSError, RuntimeError):  # there is none, or it is being removed
            return None
        magic, deep, transparent, *shape = self.HEADER.unpack(content[: self.HEADER.size].numpy().tobytes())
        if magic != b"IMG1" or size != self.HEADER.size + math.prod(shape) * DTYPES[deep].itemsize:
            return None
        return content[self.HEADER.size :].view(DTYPES[deep]).view(shape), transparent

    def put(self, key: bytes, image: Tensor, transparent: bool) -> None:
        if self.full:
            return
        file = self._file(key)
        header = self.HEADER.pack(b"IMG1", image.dtype == torch.float32, transparent, *image.shape)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(temporary, "wb") as out:
                    out.write(header)
                    out.write(image.contiguous().numpy().data)
                os.replace(temporary, file)
            finally:
                temporary.unlink(missing_ok=True)
        except FileNotFoundError:  # someone is removing the folder
            pass
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.full = True
        self.trouble = (
            f"note: --cache disk: {self.folder} takes no more images ({error.strerror}): the others are decoded every "
            "time (--cache_dir names another folder)"
        )

    def _file(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]


class RamCache(ImageCache):
    """One block of memory that all processes see, with a table of what is where; gone with the last process.

    Room is given out under a lock that the system releases when a process dies. A record of the table ends with
    its own check sum and is written after the image, so that a reader takes none that is not complete.
    """

    RECORD = struct.Struct("<16sQIII?b2x")  # key, offset, C, H, W, transparent, kind: index in DTYPES
    SLOT = 48  # bytes of a record and its check sum
    TRIES = 64  # slots in which an entry may be, from where its key points to

    def __init__(self, entries: int, size: int) -> None:
        """Room for some `entries` of `size` bytes in all; memory is taken as it is filled."""
        super().__init__()
        self.slots = 2 * entries + self.TRIES
        self.first = mmap.PAGESIZE * (1 + self.slots * self.SLOT // mmap.PAGESIZE)  # of the images' bytes
        self.size = self.first + size
        self.owner = os.getpid()
        self.name = ""  # of a file, where the system has no better way to share memory
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("images")
        else:
            self._fd, self.name = tempfile.mkstemp(prefix="images")
        os.ftruncate(self._fd, self.size)
        self._open()
        _write(self._fd, memoryview(struct.pack("<Q", self.first)), self.slots * self.SLOT)

    def _open(self) -> None:
        self._map = mmap.mmap(self._fd, self.size, access=mmap.ACCESS_WRITE)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_map"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._fd = os.open(self.name or f"/proc/{self.owner}/fd/{state['_fd']}", os.O_RDWR)
        self._open()

    def __del__(self) -> None:
        with suppress(OSError, AttributeError):  # of a making that failed
            os.close(self._fd)
            if self.name and self.owner == os.getpid():
                os.unlink(self.name)

    def get(self, key: bytes) -> Entry | None:
        for slot in self._places(key):
            record = self._record(slot)
            if record is None:
                return None
            found, offset, channels, height, width, transparent, kind = record
            if found == key:
                count = channels * height * width
                image = torch.frombuffer(self._map, dtype=DTYPES[kind], offset=offset, count=count)
                return image.view(channels, height, width), transparent
        return None

    def put(self, key: bytes, image: Tensor, transparent: bool) -> None:
        if self.trouble:
            return
        try:
            with self._lock():
                slot = next((slot for slot in self._places(key) if self._is_free(slot, key)), None)
                offset = self._take_room(image.nbytes) if slot is not None else 0
                if slot is None or not offset:
                    self._give_up("is full")
                    return
                # Writes, unlike stores into the mapped memory, report that there is none left.
                _write(self._fd, image.contiguous().numpy().data.cast("B"), offset)
                kind = DTYPES.index(image.dtype)
                record = self.RECORD.pack(key, offset, *image.shape, transparent, kind)
                _write(self._fd, memoryview(record + struct.pack("<I", zlib.crc32(record))), slot)
        except OSError as error:
            self._give_up(f"takes no more ({error.strerror})")

    def _give_up(self, why: str) -> None:
        size = (self.size - self.first) / 1e9
        self.trouble = (
            f"note: --cache ram: its memory ({size:.1f} GB at most) {why}: images beyond are decoded every time "
            "(--cache disk keeps them on disk)"
        )

    def _take_room(self, size: int) -> int:
        """The place of so many bytes, now taken; 0 where there is no room. Places are multiples of 64."""
        counter = self.slots * self.SLOT
        (offset,) = struct.unpack_from("<Q", self._map, counter)
        end = -(-(offset + size) // 64) * 64
        if end > self.size:
            return 0
        _write(self._fd, memoryview(struct.pack("<Q", end)), counter)
        return int(offset)

    def _places(self, key: bytes) -> Iterator[int]:
        start = int.from_bytes(key[:8], "little")
        return ((start + i) % self.slots * self.SLOT for i in range(self.TRIES))

    def _record(self, slot: int) -> tuple[Any, ...] | None:
        """What stands in a slot; None if nothing does, or only part of a record."""
        end = slot + self.RECORD.size
        (total,) = struct.unpack_from("<I", self._map, end)
        record = self._map[slot:end]
        return self.RECORD.unpack(record) if total and total == zlib.crc32(record) else None

    def _is_free(self, slot: int, key: bytes) -> bool:
        record = self._record(slot)
        return record is None or record[0] == key

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if sys.platform == "win32":
            os.lseek(self._fd, 0, os.SEEK_SET)
            msvcrt.locking(self._fd, msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                os.lseek(self._fd, 0, os.SEEK_SET)
                msvcrt.locking(self._fd, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)  # of a process, where flock would be shared with those it forks
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _write(fd: int, data: memoryview, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    while data:
        data = data[os.write(fd, data) :]


def available_memory() -> int:
    """Bytes that processes here may still take: what Linux says, within what a container may; else half of all."""
    room = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        room.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        room.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    if not room and hasattr(os, "sysconf"):
        room.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(room, default=2**30))


def create_cache(kind: str, folder: Path, files: int) -> ImageCache | None:
    """The cache of --cache for a dataset of so many files; one in memory takes at most three quarters of what is free.

    Raises OSError where there is no memory for it.
    """
    if kind == "disk":
        return DiskCache(folder)
    if kind == "none":
        return None
    # Processes that train together have a cache each.
    return RamCache(files, available_memory() * 3 // 4 // processes().on_this_machine)
