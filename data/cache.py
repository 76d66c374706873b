"""The cache of decoded and resized images, shared by all loader workers, in memory or on disk.

An entry is an image (C, H, W), uint8 or float32, in 0..255. Its key depends on the file and on everything else that
determines the pixels.
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
from typing import Any, ClassVar
from weakref import WeakSet

import PIL
import torch
from torch import Tensor

from data.formats.opening import READER_VERSION
from util.runtime.processes import processes

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

DTYPES = (torch.uint8, torch.float32)
MAX_MAPS = 2**14  # files that a process maps at the same time; Linux allows four times as many
Entry = tuple[Tensor, bool]  # an image, and whether its file was transparent


def make_key(paths: Sequence[Path], settings: str) -> bytes | None:
    """A 16-byte hash of files (path, size, time of change), settings and versions; None if a file is missing."""
    # Other versions of the readers, Pillow and torch may decode and resize to different pixels.
    parts = [settings, f"reader {READER_VERSION}", PIL.__version__, torch.__version__]
    try:
        for path in paths:
            status = os.stat(path)
            parts += [os.path.abspath(path), str(status.st_size), str(status.st_mtime_ns)]
    except OSError:
        return None
    return hashlib.blake2b(os.fsencode("\0".join(parts)), digest_size=16).digest()


class ImageCache(ABC):
    """Created before the workers start; they inherit it by fork, or receive it by pickling.

    No failure of a cache is an error: `trouble` is then a message for the user, and images that are not cached are
    decoded again. A cached image must not be modified.
    """

    def __init__(self) -> None:
        self.trouble = ""

    @abstractmethod
    def get(self, key: bytes) -> Entry | None:
        """The complete entry of a key, or None."""

    @abstractmethod
    def put(self, key: bytes, image: Tensor, transparent: bool) -> None:
        """Store an image, if there is space."""


class DiskCache(ImageCache):
    """One file for each image, read by mapping it into memory; up to MAX_MAPS stay mapped.

    The folder may be deleted at any time. A file is written under a temporary name and then renamed; one that a power
    failure has truncated is recognized by its length.
    """

    HEADER = struct.Struct("<4s??2xIII")  # "IMG1", float32?, transparent?, C, H, W

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.full = False
        self._maps: dict[bytes, Entry] = {}  # oldest first
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
            if len(self._maps) >= MAX_MAPS:
                del self._maps[next(iter(self._maps))]
            self._maps[key] = entry
        return self._maps[key]

    def _read(self, key: bytes) -> Entry | None:
        name = str(self._file(key))
        try:
            size = os.path.getsize(name)
            if size < self.HEADER.size:
                return None
            # Unlike Python's mmap, torch's mapping needs no open file, of which a process may have only few.
            content = torch.from_file(name, shared=False, size=size, dtype=torch.uint8)
        except (OSError, RuntimeError):  # the file does not exist, or is being deleted
            return None
        magic, is_float, transparent, *shape = self.HEADER.unpack(content[: self.HEADER.size].numpy().tobytes())
        if magic != b"IMG1" or size != self.HEADER.size + math.prod(shape) * DTYPES[is_float].itemsize:
            return None
        return content[self.HEADER.size :].view(DTYPES[is_float]).view(shape), transparent

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
        except FileNotFoundError:  # the folder is being deleted
            pass
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.full = True
        self.trouble = (
            f"note: --cache disk: {self.folder} can't store more images ({error.strerror}): the others are decoded in "
            "every epoch (--cache_dir selects another folder)"
        )

    def _file(self, key: bytes) -> Path:
        name = key.hex()
        return self.folder / name[:2] / name[2:]


class RamCache(ImageCache):
    """One block of memory shared by all processes: a hash table of records, then the images.

    Space is allocated under a file lock, which the system releases if a process dies. A record is written after its
    image and ends with a checksum, so that readers ignore incomplete ones. The memory is freed when the last process
    ends.
    """

    RECORD = struct.Struct("<16sQIII?b2x")  # key, offset, C, H, W, transparent, kind: index in DTYPES
    instances: ClassVar[WeakSet[RamCache]] = WeakSet()  # those that this process created
    SLOT = 48  # bytes of a record and its checksum
    PROBES = 64  # slots that may contain an entry, starting at the one that its key selects

    def __init__(self, entries: int, size: int) -> None:
        """Space for about `entries` images of `size` bytes in total; memory is occupied only as it is filled."""
        super().__init__()
        self.slots = 2 * entries + self.PROBES
        self.first = mmap.PAGESIZE * (1 + self.slots * self.SLOT // mmap.PAGESIZE)  # the offset of the first image
        self.size = self.first + size
        self.owner = os.getpid()
        self.name = ""  # the path of a file, if the system has no anonymous shared memory
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("images")
        else:
            self._fd, self.name = tempfile.mkstemp(prefix="images")
        os.ftruncate(self._fd, self.size)
        self._open()
        self.instances.add(self)
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
        with suppress(OSError, AttributeError):  # if __init__ failed
            os.close(self._fd)
            if self.name and self.owner == os.getpid():
                os.unlink(self.name)

    def get(self, key: bytes) -> Entry | None:
        for slot in self._slots(key):
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
                slot = next((slot for slot in self._slots(key) if self._is_free(slot, key)), None)
                offset = self._allocate(image.nbytes) if slot is not None else 0
                if slot is None or not offset:
                    self._give_up("is full")
                    return
                # Unlike stores into the mapped memory, writes report when no memory is left.
                _write(self._fd, image.contiguous().numpy().data.cast("B"), offset)
                kind = DTYPES.index(image.dtype)
                record = self.RECORD.pack(key, offset, *image.shape, transparent, kind)
                _write(self._fd, memoryview(record + struct.pack("<I", zlib.crc32(record))), slot)
        except OSError as error:
            self._give_up(f"can't be extended ({error.strerror})")

    def _give_up(self, reason: str) -> None:
        size = (self.size - self.first) / 1e9
        self.trouble = (
            f"note: --cache ram: its memory ({size:.1f} GB at most) {reason}: further images are decoded in every "
            "epoch (--cache disk stores them on disk)"
        )

    def unfilled(self) -> int:
        """The bytes that images may still occupy; 0 once the cache is full."""
        (offset,) = struct.unpack_from("<Q", self._map, self.slots * self.SLOT)
        return 0 if self.trouble else int(self.size - offset)

    def _allocate(self, size: int) -> int:
        """Allocate `size` bytes: their offset, a multiple of 64, or 0 if there is no space."""
        counter = self.slots * self.SLOT
        (offset,) = struct.unpack_from("<Q", self._map, counter)
        end = -(-(offset + size) // 64) * 64
        if end > self.size:
            return 0
        _write(self._fd, memoryview(struct.pack("<Q", end)), counter)
        return int(offset)

    def _slots(self, key: bytes) -> Iterator[int]:
        """The offsets of the slots that may contain the key, in the order to try."""
        start = int.from_bytes(key[:8], "little")
        return ((start + i) % self.slots * self.SLOT for i in range(self.PROBES))

    def _record(self, slot: int) -> tuple[Any, ...] | None:
        """The record in a slot; None if the slot is empty or its record incomplete."""
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
            fcntl.lockf(self._fd, fcntl.LOCK_EX)  # owned by one process; a flock would be shared with its forks
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)


def _write(fd: int, data: memoryview, offset: int) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    while data:
        data = data[os.write(fd, data) :]


def available_memory() -> int:
    """Free memory in bytes: as Linux reports it, within the limit of a container; elsewhere half of all memory."""
    limits = []
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable"))))
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limits.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    if not limits and hasattr(os, "sysconf"):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(limits, default=2**30))


def create_cache(kind: str, folder: Path, files: int) -> ImageCache | None:
    """The cache that --cache selects, for a dataset of `files` files. In memory it takes up to 3/4 of the free memory.

    Raises OSError if the memory can't be reserved.
    """
    if kind == "disk":
        return DiskCache(folder)
    if kind == "none":
        return None
    # Each of several training processes on a machine has a cache of its own, and so has each loader.
    free = available_memory() - sum(cache.unfilled() for cache in RamCache.instances)
    return RamCache(files, max(0, free) * 3 // 4 // processes().local_world_size)
