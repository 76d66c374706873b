"""The processes of scripts/benchmarks/worker.py and inference_worker.py; the plan and the variants of a benchmark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from util.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
QUIET = os.environ | {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}  # silences the profiler
Figures = dict[str, dict[str, float]]

# Flags to compare with the plain implementation; the first variant has the defaults.
VARIANTS = [
    [],
    ["--conv", "direct"],
    ["--conv", "winograd"],
    ["--channels_last"],
    ["--compile"],
    ["--grad_checkpoint"],
    ["--precision", "bf16"],
]


class WorkerFailed(UserError):
    """A process of a benchmark has failed."""


@dataclass
class Plan:
    """What to measure."""

    sizes: Sequence[int] = (128, 256)
    inference_sizes: Sequence[int] = (256, 512)
    sources: Sequence[tuple[int, int]] = ((256, 256), (1024, 683), (2048, 1365), (4000, 3000))  # width and height
    source_pixels: float = 2e8  # of an epoch of large files, about three seconds on one core
    batches: Sequence[int] = (1, 4)
    repeats: int = 5
    device: str = "cpu"
    variants: Sequence[Sequence[str]] | None = None  # None: the usual ones of the section
    precisions: Sequence[str] = ("fp32", "tf32_conv", "bf16")  # of the section gpu
    networks: Sequence[str] = ()  # network flags, also for the plain step

    def cases(self) -> Iterator[tuple[int, int, Sequence[Sequence[str]]]]:
        """Size, batch and variants of each comparison with a plain step."""
        for size in self.sizes:
            for batch in self.batches:
                yield size, batch, self.variants_for(batch)

    def variants_for(self, batch: int = 1) -> Sequence[Sequence[str]]:
        """The flags to compare with the plain implementation."""
        if self.variants is not None:
            return self.variants
        return VARIANTS if batch == 1 else [[], ["--accumulate", str(batch)]]


def name_of(size: int, batch: int = 1, flags: Sequence[str] = ()) -> str:
    """The name of a table row."""
    return " ".join([f"{size} px", *([f"batch {batch}"] if batch > 1 else []), *flags])


class Worker:
    """A process with a job that waits for commands."""

    def __init__(self, job: str, flags: Sequence[str], script: str = "worker.py") -> None:
        self.title = " ".join([job, *flags])
        command = [sys.executable, str(ROOT / "scripts" / "benchmarks" / script), job, *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=QUIET)

    def ask(self, command: str) -> dict[str, float]:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{command}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # readline below returns nothing
        answer = self.process.stdout.readline()
        if not answer:
            raise WorkerFailed(f"{self.title}: failed with exit code {self.process.wait()}, see above")
        return json.loads(answer)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def workers(
    plan: Plan, size: int, batch: int, jobs: Mapping[str, tuple[str, Sequence[str]]]
) -> Iterator[dict[str, Worker]]:
    """One process for each job and its flags, by name."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        common = ["--dataroot", folder, "--checkpoints_dir", folder, "--device", plan.device, "--seed", "1"]
        common += ["--load_size", str(size), "--crop_size", str(size), "--batch_size", str(batch), "--pool_size", "0"]
        started = {}
        for name, (job, flags) in jobs.items():
            started[name] = Worker(job, [*common, *plan.networks, *flags])
            stack.callback(started[name].close)
        yield started


def seconds_in_alternation(asked: Mapping[str, Worker], repeats: int) -> dict[str, float]:
    """The median seconds of each worker; they take turns, `repeats` times."""
    seconds: dict[str, list[float]] = {name: [] for name in asked}
    for _ in range(repeats):
        for name, worker in asked.items():
            seconds[name].append(worker.ask("time")["seconds"])
    return {name: median(values) for name, values in seconds.items()}
