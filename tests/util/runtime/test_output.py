"""Output that fails: a closed, full or narrow console, a pipe without a reader, an encoding without the character."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")

# Writes everywhere that programs write, more than buffers and pipes hold, then a file whose content must stay intact.
PROGRAM = """
import os, subprocess, sys, time, warnings
from util.errors import UserError, run_main

def main():
    file = open(sys.argv[1], "w")
    for stream in (sys.stdout, sys.stderr):
        print("x" * 100_000, file=stream)
        print("\\u99ac caf\\u00e9 \\udce9", file=stream, flush=True)
        stream.buffer.write(b"bytes\\n")
    warnings.warn("a warning")
    os.system("echo a subprocess; echo its error >&2")
    time.sleep(0.1)
    print("after a pause")
    print("the end, not flushed", end="")
    file.write("intact")
    file.close()
    if len(sys.argv) > 2:
        raise UserError("a mistake")
    return 0

run_main(main)
"""

REDIRECTIONS = {
    "reader gone": "| true",
    "reader leaves later": "| head -c 10",
    "errors to a reader that leaves": "2> >(true)",
    "both to a reader that leaves": "2>&1 | true",
    "full": "> /dev/full",
    "errors full": "2> /dev/full",
    "both full": "> /dev/full 2>&1",
    "closed": ">&-",
    "errors closed": "2>&-",
    "all closed": "<&- >&- 2>&-",
    "read-only": "1< /dev/null 2< /dev/null",
}


def run(
    tmp_path: Path, redirection: str, *arguments: str, flags: str = "", **environment: str
) -> subprocess.CompletedProcess[bytes]:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = f'"{sys.executable}" {flags} "{program}" "{tmp_path / "file.txt"}" {" ".join(arguments)} {redirection}'
    return subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("flags", ["", "-u"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("redirection", REDIRECTIONS.values(), ids=REDIRECTIONS)
def test_output_that_fails_ends_no_program(redirection: str, flags: str, tmp_path: Path) -> None:
    done = run(tmp_path, redirection, flags=flags)
    assert done.returncode == 0, done
    assert (tmp_path / "file.txt").read_text() == "intact"
    assert b"Exception ignored" not in done.stderr and b"Traceback" not in done.stderr


@pytest.mark.parametrize("redirection", ["2>&-", "| true", "> /dev/full 2>&1"])
def test_the_exit_code_of_an_error_stays(redirection: str, tmp_path: Path) -> None:
    assert run(tmp_path, redirection, "fail").returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_character_that_the_encoding_lacks_is_an_escape(encoding: str, tmp_path: Path) -> None:
    done = run(tmp_path, "", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done
    for printed in (done.stdout, done.stderr):
        line = printed.split(b"\n")[1].decode(encoding)
        assert line == "\u99ac caf\u00e9 \udce9".encode(encoding, "backslashreplace").decode(encoding)


def test_intact_output_is_complete(tmp_path: Path) -> None:
    done = run(tmp_path, "")
    assert done.stdout.startswith(b"x" * 100_000 + b"\n")
    assert done.stdout.endswith(b"after a pause\nthe end, not flushed")
    assert b"a warning" in done.stderr and done.stdout.count(b"bytes") == 1


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), str(tmp_path / "file.txt")]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            printed = pipe.read()
    assert process.returncode == 0 and printed.endswith(b"not flushed") and printed.count(b"x") == 100_000
