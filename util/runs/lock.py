"""One process for a folder."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from datetime import datetime
from pathlib import Path

from util.errors import UserError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".lock"


class Lock:
    """Held from its making to `release`, or to the end of the process, even by kill -9: the system releases it.

    Raises UserError, with the pid and the host of the holder, where another process holds the folder. Worker
    processes do not inherit it.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115  # kept open as long as it is held
        try:
            self._take()
        except OSError as error:
            self._file.close()
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise UserError(
                    f"{self.path} can't be locked ({error.strerror}): choose a --checkpoints_dir on a disk with locks"
                ) from error
            raise UserError(
                f"{folder} is in use: {self._holder()}; wait for it, or give this run another --name"
            ) from None
        self._file.truncate(0)
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": f"{datetime.now():%Y-%m-%d %H:%M:%S}"}
        self._file.write(json.dumps(holder) + "\n")
        self._file.flush()

    def release(self) -> None:
        """Let others take it. The file stays: removing it would race with one who is about to take it."""
        self._file.close()

    def _take(self) -> None:
        if sys.platform == "win32":
            self._file.seek(0x7FFF0000)  # far behind the text, which others must be able to read
            msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            # Not flock: a forked worker would hold it for as long as it outlives a killed parent.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _holder(self) -> str:
        try:
            holder = json.loads(self.path.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} is training in it since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process is training in it"
