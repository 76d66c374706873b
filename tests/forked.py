"""Runs programs in forks of a process that has imported torch already, which saves seconds for each.

Each program still has a process, a working folder, an environment and output of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

IMPORTED = ("torch", "torch._dynamo", "torch.utils.data", "torchvision.transforms.v2.functional", "torchvision.utils")
IMPORTED += ("torch.distributed.run", "numpy", "PIL.Image", "tifffile", "tqdm", "dominate", "yaml")


class Started(Protocol):
    """A program that was started: a subprocess.Popen[str] with pipes, or a Forked."""

    pid: int

    def poll(self) -> int | None: ...
    def communicate(self, timeout: float | None = None) -> tuple[str, str]: ...
    def send_signal(self, number: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...
    @property
    def returncode(self) -> int | None: ...


class Forked:
    """`python program arguments`, or `python -m program arguments`, with the interface of subprocess.Popen."""

    def __init__(
        self, program: Path | str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        """`program`: a file, or the name of a module."""
        self.args = [str(program), *arguments]
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(IMPORTED))
        pipes = [context.Pipe(duplex=False) for _ in range(2)]
        writers = [writer for _, writer in pipes]
        self.process = context.Process(target=_main, args=(program, arguments, folder, dict(environment), writers))
        self.process.start()
        for writer in writers:
            writer.close()
        self.outputs = [bytearray(), bytearray()]
        self.readers = [
            threading.Thread(target=_read, args=(reader, output), daemon=True)
            for (reader, _), output in zip(pipes, self.outputs, strict=True)
        ]
        for reader in self.readers:
            reader.start()
        self.pid = self.process.pid or 0

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; returns both outputs."""
        self.process.join(timeout)
        if self.process.is_alive():
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        for reader in self.readers:
            reader.join(timeout)
        out, errors = (output.decode(errors="backslashreplace") for output in self.outputs)
        return out, errors

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(program: Path | str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Started:
    """Start a program: a file, or the name of a module."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        return Forked(program, arguments, folder, environment)
    return start_afresh(program, arguments, folder, environment)  # Windows


def start_afresh(
    program: Path | str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
    """Start a program as a shell does, with a Python that imports everything itself."""
    command = [sys.executable, *([str(program)] if isinstance(program, Path) else ["-m", program]), *arguments]
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": folder, "env": dict(environment)}
    return subprocess.Popen(command, text=True, errors="backslashreplace", **settings)  # type: ignore[call-overload,no-any-return]


def run(
    program: Path | str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """The result of a program, as subprocess.run returns it, with the output as text."""
    process = start(program, arguments, folder, environment)
    try:
        out, errors = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess([str(program), *arguments], process.returncode or 0, out, errors)


def _read(reader: Connection, output: bytearray) -> None:
    while data := os.read(reader.fileno(), 65536):
        output += data


def _main(
    program: Path | str,
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    outputs: Sequence[Connection],
) -> None:
    """Become `python program arguments`."""
    for number, output in enumerate(outputs, start=1):
        os.dup2(output.fileno(), number)
        output.close()
    multiprocessing.set_start_method(None, force=True)  # the platform's own, for the program's loader workers
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(program), *arguments]
    folders = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [str(program.parent) if isinstance(program, Path) else str(folder), *folders]
    for file in (Path(folder, "sitecustomize.py") for folder in folders):
        if file.is_file():  # as Python does at its start
            runpy.run_path(str(file))
    try:
        if isinstance(program, Path):
            runpy.run_path(str(program), run_name="__main__")
        else:
            runpy.run_module(program, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # Python then ends by the signal
        traceback.print_exc()
        atexit._run_exitfuncs()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        atexit._run_exitfuncs()  # a forked process leaves them out
