"""A lock on a folder: one process at a time trains in it."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from util.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"


class Lock:
    """The lock of a folder, acquired when created and released by `release` or, even after kill -9, by the system.

    Raises UserError, with the pid and the host of the owner, if another process has the lock, and, naming --no_lock, if
    the file system has no locks. Without `enabled`, nothing is locked. Worker processes do not inherit the lock.
    """

    def __init__(self, folder: Path, enabled: bool = True) -> None:
        self.path = folder / LOCK
        if not enabled:
            return
        self._file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115  # kept open for as long as it is locked
        try:
            self._acquire()
        except OSError as error:
            self._file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise UserError(
                    f"{self.path} can't be locked ({error.strerror}): choose a --checkpoints_dir on a file system with "
                    "file locks, or use --no_lock and make sure that no other process trains in this folder"
                ) from error
            raise UserError(
                f"{folder} is in use: {self._owner()}; wait for it, or use another --name for this run"
            ) from None
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        with suppress(OSError):  # a full disk: only the message of the second process needs this
            self._file.truncate(0)
            self._file.write(json.dumps(owner) + "\n")
            self._file.flush()

    def release(self) -> None:
        """Release the lock. The file stays: removing it would race with a process that is about to lock it."""
        with suppress(OSError, AttributeError):  # the owner could not be written; nothing is locked
            self._file.close()

    def _acquire(self) -> None:
        if sys.platform == "win32":
            self._file.seek(0x7FFF0000)  # far behind the text, which other processes must be able to read
            msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            # Not flock: a forked worker that outlives its killed parent would keep it.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _owner(self) -> str:
        try:
            owner = json.loads(self.path.read_text(encoding="utf-8"))
            return f"process {owner['pid']} on {owner['host']} has been training in it since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process is training in it"
