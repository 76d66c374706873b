"""Translate image files and folders with a trained generator.

    python scripts/translate.py checkpoints/horse2zebra_cycle_gan photos --out zebras
    python scripts/translate.py checkpoints/horse2zebra_cycle_gan zebra.jpg --direction BtoA --out horses

Each translation has the name, size and format of its input; subfolders are kept. If the command is interrupted, run it
again to continue. The exit code is 1 if an image was skipped because it can't be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from util.errors import UserError, is_out_of_memory, run_main
from util.files import atomic_write, json_text, sha256

if TYPE_CHECKING:
    from inference import Translator

RECORD = "translation.json"
"""In the output folder: what all translations there were made with."""
LESS_MEMORY = "use smaller images, --precision bf16 on a GPU, or --device cpu"


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of the run, such as checkpoints/NAME")
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="image files, and folders of images")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for the translations")
    parser.add_argument(
        "--direction", choices=("AtoB", "BtoA"), help="default: the direction in which the run was trained"
    )
    parser.add_argument(
        "--epoch", default="latest", help="weights to load: latest, best or the number of an epoch (default: latest)"
    )
    parser.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, a GPU such as cuda:0, or mps (default: auto)"
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32", "tf32_conv", "bf16", "fp16"),
        default="auto",
        help="default: auto: tf32_conv on NVIDIA GPUs since Ampere, fp32 elsewhere",
    )
    parser.add_argument(
        "--norm",
        choices=("running", "image"),
        default="running",
        help="statistics of batch norm: running, those of training, as in test.py --eval; image, those of each image "
        "(default: running)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing translations")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="override options of the run; a folder of weights without options.json needs those of its network, such "
        "as netG=unet_256",
    )
    return parser.parse_args(argv)


def overrides(settings: Sequence[str]) -> dict[str, Any]:
    """The values of --set, by the parameter names of load_generator. Raises UserError for one that is not valid."""
    import yaml

    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or not name.isidentifier():
            raise UserError(f"--set {setting}: expected NAME=VALUE, such as netG=resnet_9blocks")
        if name in ("run", "size", "network_norm"):  # other arguments of load_generator
            raise UserError(f"--set {setting}: {name} is not an option of a run")
        if name in ("direction", "epoch", "device", "precision"):
            raise UserError(f"--set {setting}: use --{name} {text}")
        try:
            values["network_norm" if name == "norm" else name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"--set {setting}: {text} is not a number, a word, true or false") from error
    return values


def find_images(inputs: Sequence[Path], out: Path) -> tuple[dict[Path, Path], str]:
    """The image files by the file of their translation, in order, and the number of ignored files as text.

    Raises UserError for an input that can't be used, and for translations that would replace an input or each other.
    """
    from data.formats.opening import IMAGE_EXTENSIONS
    from data.image_folder import IgnoredFiles, list_images

    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: choose a folder")
    sources: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    ignored = IgnoredFiles()
    for given in inputs:
        if given.is_dir():
            if out.resolve().is_relative_to(given.resolve()):
                raise UserError(f"--out {out} is in the input folder {given}: choose a folder elsewhere")
            names = [path.relative_to(given) for path in list_images(given, ignored=ignored)[0]]
            found = [(given / name, out / name) for name in names]
        elif not given.exists():
            raise UserError(f"{given} does not exist: expected an image or a folder of images")
        elif given.suffix.lower() not in IMAGE_EXTENSIONS:
            raise UserError(f"{given} is not an image: expected a name ending in {', '.join(IMAGE_EXTENSIONS)}")
        else:
            found = [(given, out / given.name)]
        for source, target in found:
            other = taken.setdefault(os.path.normcase(target), source)
            if other.resolve() != source.resolve():
                raise UserError(
                    f"{other} and {source} would both be translated to {target}: use a separate --out for each"
                )
            sources.setdefault(target, source)
    _require_inputs_kept(sources)
    return sources, ignored.describe(verbose=False)


def _require_inputs_kept(sources: dict[Path, Path]) -> None:
    """Raise UserError if a translation would replace an input."""
    originals = {source.resolve() for source in sources.values()}
    for target in sources:
        if target.resolve() in originals:
            raise UserError(f"--out {target.parent} would replace the input {target}: choose another folder")


def describe(translate: Translator, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything except the images that the translations depend on, for the record in the output folder."""
    from util.runs.weights import weights_path

    model, generator = translate.model, translate.model.generator(translate.backwards)
    name = next(name for name, network in model.networks().items() if network is generator)
    return {
        "weights": sha256(weights_path(model.folder, model.opt.epoch, name)),
        "network": name,
        "norm": arguments.norm,
        "precision": model.precision.name,
        "options": overrides(arguments.set),
    }


def require_same(out: Path, made_with: dict[str, Any], *, has_translations: bool) -> None:
    """Raise UserError if translations in the output folder were made differently, or if this is unknown."""
    try:
        before = json.loads((out / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    before = before if isinstance(before, dict) else {}
    if not before and not has_translations:
        return
    if differing := [name for name, value in made_with.items() if before.get(name) != value]:
        how = f"made with different {', '.join(differing)}" if before else f"without a record in {RECORD}"
        raise UserError(f"--out {out} has translations {how}: choose another folder, or replace them with --overwrite")


def reason_to_skip(error: Exception, source: Path) -> str:
    """A line that names a skipped image and the reason. Raises the error again if it does not concern this image."""
    from data.formats.image_reader import UnreadableImage

    if isinstance(error, UnreadableImage):
        return f"skipped: {error}"
    if isinstance(error, ValueError):
        return f"skipped: {source}: {error}"
    if is_out_of_memory(error):
        return f"skipped: {source}: needs more memory than is available"
    raise error


def translate_images(translate: Translator, sources: dict[Path, Path], done: int) -> int:
    """Write the translation of every source; returns the number of images that were skipped."""
    from data.formats.writer import write_image
    from util.monitors.console import Console

    console, skipped = Console(done + len(sources), done), 0
    try:
        for target, source in sources.items():
            try:
                image, traits = translate.translate_file(source)
                target.parent.mkdir(parents=True, exist_ok=True)
                write_image(target, image, traits)
            except Exception as error:
                console.print_message(reason_to_skip(error, source))
                skipped += 1
            console.advance(1, "translating")
    except KeyboardInterrupt:
        console.print_message(
            f"{console.done} of {console.total} images are done: run the same command again to continue"
        )
        raise
    finally:
        console.close()
    return skipped


def main() -> int:
    arguments = parse_arguments()
    out: Path = arguments.out
    sources, ignored = find_images(arguments.inputs, out)
    existing = set() if arguments.overwrite else {target for target in sources if target.exists()}

    # Imported only now: it needs torch, and neither --help nor a mistake should wait for it.
    from inference import load_generator

    translate = load_generator(
        arguments.run,
        arguments.direction,
        arguments.epoch,
        arguments.device,
        precision=arguments.precision,
        norm=arguments.norm,
        **overrides(arguments.set),
    )
    model = translate.model
    print("\n".join([f"weights {model.opt.epoch} of {model.opt.name} on {model.device}", *model.notes()]))
    made_with = describe(translate, arguments)
    if arguments.overwrite:  # an interrupted command must not leave translations of another generator beside its own
        for target in sources:
            target.unlink(missing_ok=True)
    else:
        require_same(out, made_with, has_translations=bool(existing))
    out.mkdir(parents=True, exist_ok=True)
    atomic_write(out / RECORD, json_text(made_with))
    pending = {target: source for target, source in sources.items() if target not in existing}
    skipped = translate_images(translate, pending, len(existing))
    before = f", {len(existing)} were there before" if existing else ""
    failed = f", {skipped} skipped" if skipped else ""
    print(f"{out}: translated {len(pending) - skipped} of {len(sources)} images{before}{failed}{ignored}")
    return 1 if skipped else 0


if __name__ == "__main__":
    run_main(main, LESS_MEMORY)
