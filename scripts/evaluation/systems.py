"""What is evaluated: translations in a folder, or those of a checkpoint of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from data.formats.image_reader import UnreadableImage, image_to_tensor
from inference import Direction, Translator, load_generator
from options import files
from scripts.evaluation.folders import list_named, read
from util.errors import UserError
from util.evaluation.best import describe_checkpoint
from util.runs.base_run import BEST


@dataclass(frozen=True)
class System:
    """Translations by the names of their sources."""

    name: str
    """For text, with how the checkpoint was chosen."""
    short: str
    """For text, without that."""
    images: Mapping[str, Path]
    """The translation's file, or that of its source, by name."""
    load: Callable[[Path], Tensor]
    """The translation (3, H, W) in [-1, 1] for one of these files. Raises UnreadableImage."""


def of_folder(folder: Path, option: str, visual: str | None) -> System:
    """The images in a folder."""
    return System(str(folder), str(folder), list_named(folder, option, visual), read)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, instead of a folder of images."""
    return (folder / files.OPTIONS).is_file()


def direction_of(run: Path, given: Direction | None) -> Direction:
    """The given direction, by default the one in which the run was trained."""
    record = files.read_record(run) or {"options": {}}
    return given or ("BtoA" if record["options"].get("direction") == "BtoA" else "AtoB")


def source_folder(run: Path, direction: Direction) -> Path:
    """The test images of the run's dataset. Raises UserError if there is no such folder."""
    dataroot = files.dataroot_of(run)
    folder = Path(dataroot or "", f"test{direction[0]}")
    if dataroot is None or not folder.is_dir():
        where = f"{folder} is not a folder" if dataroot else f"{run} does not record its dataset"
        raise UserError(f"{where}: give the images to translate with --source FOLDER")
    return folder


def of_run(run: Path, epoch: str, direction: Direction, images: Mapping[str, Path], device: str) -> System:
    """The translations of `images` by a checkpoint of a run. Each is translated when it is loaded, at its own size."""
    generator: list[Translator] = []  # loaded with the first image, so that one network at a time is in memory

    def translate(path: Path) -> Tensor:
        if not generator:
            generator.append(load_generator(run, direction, epoch, device))
        try:
            return image_to_tensor(generator[0](path), 3).float() / 127.5 - 1
        except ValueError as error:  # transparent everywhere, from a generator with an alpha channel
            raise UnreadableImage(path, f"its translation {error}") from error

    return System(f"{run}, {describe_checkpoint(run, epoch)}", f"{run} --epoch {epoch}", images, translate)


def choose_epochs(run: Path, given: list[str] | None) -> list[str]:
    """The checkpoints to evaluate: those of --epoch; all saved epochs for "all"; else the last, and the best if saved.

    Raises UserError if a run has no weights for one of them.
    """
    saved = {path.name.partition("_net_")[0] for path in run.glob("*_net_G*.pth")}
    numbers = sorted((name for name in saved if name.isdecimal()), key=int)
    if given == ["all"]:
        if not numbers:
            raise UserError(f"--epoch all: {run} has no weights of single epochs")
        return numbers
    wanted = list(dict.fromkeys(given)) if given else [name for name in ("latest", BEST) if name in saved]
    if missing := [name for name in wanted if name not in saved]:
        known = [name for name in ("latest", BEST) if name in saved] + numbers
        raise UserError(f"--epoch {missing[0]}: {run} has no such weights: choose one of {', '.join(known) or 'none'}")
    if not wanted:
        raise UserError(f"{run} has no weights of a generator: train first")
    return wanted
