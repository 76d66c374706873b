"""Export a trained run to files that other programs load.

    python scripts/export.py checkpoints/horse2zebra_cycle_gan --format onnx
    python scripts/export.py checkpoints/horse2zebra_cycle_gan --format torch --direction AtoB
    python scripts/export.py checkpoints/horse2zebra_cycle_gan --format hub --epoch best --license cc-by-4.0
    python scripts/export.py checkpoints/horse2zebra_cycle_gan --format web

onnx: one file for each direction, for ONNX Runtime and others. torch: a program that needs torch alone. hub: a folder
for a model hub, with a model card and a program that needs no torch. web: a folder for any static web server, with a
page that translates images in the browser. Images of any size and number go in and come out as stored pixels (N, H, W,
C): normalization, padding, cropping and rounding are inside. Before success is reported, the files are compared with
the network on images of the run. See docs/deployment.md.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from scripts.exporting import FORMATS
from util.errors import UserError, run_main
from util.files import replace_folder, temporary_name

if TYPE_CHECKING:
    from scripts.exporting.job import Direction
    from scripts.exporting.source import Source

CONFIG = "config.json"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, such as checkpoints/NAME")
    parser.add_argument(
        "--format",
        type=FORMATS.checked,
        default="onnx",
        metavar="NAME",
        help=f"{', '.join(FORMATS)} (default: onnx), or your package.module:name",
    )
    parser.add_argument("--epoch", default="latest", help="which weights: latest, best or a number (default: latest)")
    parser.add_argument(
        "--direction", choices=("AtoB", "BtoA", "both"), help="direction to export (default: all that the model has)"
    )
    parser.add_argument("--out", type=Path, help="output folder (default: exports/NAME/FORMAT_EPOCH)")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32", help="of the weights (default: fp32)")
    parser.add_argument(
        "--norm",
        choices=("running", "image"),
        default="running",
        help="statistics of batch norm: those of training, as test.py --eval, or those of each image, as test.py "
        "without it (default: running)",
    )
    parser.add_argument(
        "--bits", type=int, choices=(8, 16), help="bits of stored pixels (default: 16 if the run's images have more)"
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="images to compare on, instead of the dataset's")
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="FOLDER",
        help="for --format web: the unpacked npm package onnxruntime-web (default: fetched with npm)",
    )
    parser.add_argument("--license", help="license of the weights, such as cc-by-4.0, to be recorded")
    parser.add_argument(
        "--results_dir",
        type=Path,
        default=Path("results"),
        help="results of test.py, to record scores (default: results)",
    )
    parser.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="options of the networks, for a folder of weights without options.json, such as netG=resnet_9blocks",
    )
    return parser.parse_args(argv)


def read_options(texts: Sequence[str]) -> dict[str, Any]:
    """The values of NAME=VALUE, as in a YAML file. Raises UserError for a text without an equals sign."""
    import yaml

    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--options {text}: expected NAME=VALUE, such as netG=resnet_9blocks")
        options[name.removeprefix("--")] = yaml.safe_load(value)
    return options


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder that replaces `folder` at the end; after an error nothing is left of it.

    Raises UserError if `folder` contains anything but an earlier export.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / CONFIG).is_file())):
        raise UserError(f"--out {folder} is not empty: choose another folder")
    temporary = temporary_name(folder.with_name(f"{folder.name}.new"))
    created = [parent for parent in folder.parents if not parent.exists()]
    try:
        temporary.mkdir(parents=True)
        yield temporary
        replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for parent in created:
            with suppress(OSError):  # not empty
                parent.rmdir()


def find_direction(source: Source, arguments: argparse.Namespace) -> Direction:
    """One direction with the images to compare on, and the network's translations of them."""
    from scripts.exporting.comparison import Trial
    from scripts.exporting.images import find_images
    from scripts.exporting.job import Direction

    print(f"{source.direction}: translating images with the network, for the comparison", flush=True)
    images = find_images(source, arguments.images, arguments.bits)
    if not images.are_real:
        print(
            f"note: {source.direction} is compared on synthetic images, since the run's dataset has no image to "
            "read: use --images FOLDER"
        )
    return Direction(source, Trial.of(source, images), arguments.precision)


def export(arguments: argparse.Namespace) -> Path:
    """Export a run as the command line says; returns the folder.

    Raises ExportFailed if a file does not compute what the network computes, and UserError for a mistake.
    """
    from scripts.exporting.job import Format
    from scripts.exporting.metadata import Texts, describe_run
    from scripts.exporting.source import load_sources
    from util.files import atomic_write, json_text

    export_format = FORMATS.find(arguments.format)
    if not isinstance(export_format, Format):
        raise UserError(f"--format {arguments.format}: must be a scripts.exporting.job.Format")
    if arguments.runtime and not export_format.add_runtime:
        raise UserError(f"--runtime has no effect on --format {export_format.name}: remove it")
    export_format.require_packages()
    options = read_options(arguments.options)
    sources = load_sources(arguments.run, arguments.epoch, arguments.direction, arguments.norm, options)
    print(f"exporting {' and '.join(source.direction for source in sources)} of {arguments.run}", flush=True)
    name = sources[0].opt.name
    suffix = "" if arguments.precision == "fp32" else f"_{arguments.precision}"
    folder = arguments.out or Path("exports", name, f"{export_format.name}_{arguments.epoch}{suffix}")
    with new_folder(folder) as temporary:
        if export_format.add_runtime:
            export_format.add_runtime(temporary, arguments.runtime)
        directions = [find_direction(source, arguments) for source in sources]
        texts = Texts(arguments.license, arguments.results_dir)
        config = describe_run(arguments.run, arguments.epoch, directions, texts)
        export_format.write(temporary, directions, config)
        atomic_write(temporary / CONFIG, json_text(config))
    return folder


def main() -> int:
    arguments = parse_arguments()
    from scripts.exporting.comparison import ExportFailed

    try:
        folder = export(arguments)
    except ExportFailed as error:
        print(f"error: {error}; nothing was written", file=sys.stderr)
        return 1
    print(f"exported to {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if viewer := FORMATS.find(arguments.format).viewer:
        print(f"to open it: {viewer} {shlex.quote(str(folder))}")
    return 0


if __name__ == "__main__":
    run_main(main)
