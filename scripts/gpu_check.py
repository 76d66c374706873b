"""Check all that only a GPU can run: about 8 minutes on a modern card, without images or a network connection.

    python scripts/gpu_check.py                       # every check except those of --compile
    python scripts/gpu_check.py --compile             # only those of --compile, which take some minutes each
    python scripts/gpu_check.py --only graphs resume  # checks whose names begin with one of these words

Prints a line for each check, with OK or FAIL. The exit code is 1 if a check failed. docs/gpu.md explains the figures.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import UserError, run_main

if TYPE_CHECKING:
    import torch

    from scripts.gpu_checks.checks import Check
    from scripts.gpu_checks.setting import Setting

GRAPHS_PASSED = (
    "graphs passed on this GPU. If `python -m pytest -m gpu` passes too, set IS_CHECKED = True in "
    "util/runtime/graphs.py, so that --cuda_graph auto uses them"
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1, or cpu, to try this program")
    parser.add_argument("--size", type=int, default=256, help="width and height of images, in pixels")
    parser.add_argument("--ngf", type=int, default=64, help="width of the networks, as --ngf and --ndf of train.py")
    parser.add_argument("--compile", action="store_true", help="check --compile instead of everything else")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="NAME", help="only checks whose names begin with NAME"
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse_arguments()
    # Imported only now: these need torch, and --help should not wait for it.
    from scripts.gpu_checks.checks import all_checks
    from scripts.gpu_checks.setting import Setting
    from util.runtime.device import get_device

    device = get_device(arguments.device)
    checks = [
        check
        for check in all_checks(arguments.size)
        if check.compiles == arguments.compile
        and check.name.startswith(tuple(arguments.only))
        and (device.type == "cuda" or not check.needs_gpu)
    ]
    if not checks:
        raise UserError(f"--only {' '.join(arguments.only)}: there are no such checks for --device {arguments.device}")
    print(describe(device), flush=True)
    start = time.monotonic()
    with TemporaryDirectory() as folder:
        setting = Setting(device, arguments.size, arguments.ngf, Path(folder))
        failed = [check.name for check in checks if not passes(check, setting)]
    print(f"{len(checks) - len(failed)} of {len(checks)} checks passed in {time.monotonic() - start:.0f} s")
    if failed:
        print(f"failed: {'; '.join(failed)}")
    elif any(check.needs_gpu for check in checks) and arguments.only == [""]:
        print(GRAPHS_PASSED)
    return 1 if failed else 0


def describe(device: torch.device) -> str:
    """The GPU and the versions that the figures depend on."""
    import torch

    if device.type != "cuda":
        return f"torch {torch.__version__}, {device}"
    major, minor = torch.cuda.get_device_capability(device)
    name, cudnn = torch.cuda.get_device_name(device), torch.backends.cudnn.version()
    return f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}, {name} ({major}.{minor})"


def passes(check: Check, setting: Setting) -> bool:
    """Run a check and print its line. Any exception is a failure, which does not stop the other checks."""
    import torch

    start = time.monotonic()
    try:
        word, said = "OK  ", check.run(setting)
    except Exception as error:
        word, said = "FAIL", describe_error(error)
    gc.collect()
    if setting.is_gpu:
        with suppress(RuntimeError):  # a GPU that a kernel has brought into a state of error fails every call
            torch.cuda.empty_cache()
    print(f"{word} {check.name}: {said} [{time.monotonic() - start:.0f} s]", flush=True)
    return word != "FAIL"


def describe_error(error: Exception) -> str:
    """An exception in one line, with the innermost places of its traceback."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
    return f"{type(error).__name__}: {' '.join(str(error).split())[:400]} ({places})"


if __name__ == "__main__":
    run_main(main)
