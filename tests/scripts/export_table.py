"""How exactly ONNX files compute what the networks compute: one table of all generators.

    python -m tests.scripts.export_table
    python -m tests.scripts.export_table --netG unet_256 --ngf 64

Each row is one export: the largest differences in five sizes, before rounding, for values in [-1, 1]. The reference is
the network in float64. "network" is the same network in float32 by torch. The exit code is 1 if an
export failed.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from models.networks import GENERATORS
from scripts import export
from scripts.exporting.comparison import ExportFailed
from tests.scripts.exported_runs import network_options, save_generator

COLUMNS = ("netG", "norm", "upsample", "dropout", "file", "network", "levels", "share", "seconds")


def measure(folder: Path, network: dict[str, Any]) -> dict[str, Any]:
    """Export a generator as ONNX; returns the comparison that config.json records, and the seconds."""
    run = save_generator(folder / "run", **network)
    start = time.monotonic()
    arguments = [str(run), "--out", str(folder / "exported"), "--options", *network_options(network)]
    export.export(export.parse_arguments(arguments))
    config = json.loads((folder / "exported" / "config.json").read_text())
    return config["directions"]["AtoB"]["comparison"] | {"seconds": time.monotonic() - start}


def row(network: dict[str, Any], found: dict[str, Any]) -> str:
    cells = [network["netG"], network["norm"], network["upsample"], "yes" if network["use_dropout"] else "no"]
    cells += [f"{found['max_difference']:.1e}", f"{found['float32_difference']:.1e}", str(found["max_levels"])]
    cells += [f"{100 * found['share']:.3f}%", f"{found['seconds']:.0f}"]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--netG", nargs="+", choices=list(GENERATORS), default=list(GENERATORS))
    parser.add_argument("--ngf", type=int, default=4, help="filters of the first layer (default: 4)")
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    largest, failures = 0.0, 0
    for netG, norm, upsample, dropout in itertools.product(
        arguments.netG, ("instance", "batch"), ("basic", "bilinear"), (False, True)
    ):
        network = {"netG": netG, "norm": norm, "upsample": upsample, "use_dropout": dropout, "ngf": arguments.ngf}
        network |= {"input_nc": 3, "output_nc": 3}
        try:
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
                found = measure(Path(folder), network)
        except ExportFailed as error:
            print(f"| {netG} | {norm} | {upsample} | {dropout} | failed: {error} |", flush=True)
            failures += 1
            continue
        largest = max(largest, found["max_difference"])
        print(row(network, found), flush=True)
    print(f"\nlargest difference: {largest:.1e}; failed: {failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
