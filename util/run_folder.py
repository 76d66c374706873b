"""The folder of a training run: checkpoints/<name>."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from util.errors import UserError

if TYPE_CHECKING:
    from util.checkpoint import Checkpoint
    from util.progress import Progress

STATE = "latest_state.pt"
LOSSES = "losses.jsonl"


def prepare(opt: argparse.Namespace) -> Path:
    """Make the folder of a run, or find it with --continue_train. Raises UserError rather than mix two runs."""
    folder = Path(opt.checkpoints_dir) / opt.name
    trained = [path for path in folder.glob("*") if path.name in (STATE, LOSSES) or path.suffix == ".pth"]
    if opt.continue_train and not trained:
        raise UserError(
            f"--continue_train: {folder} holds no checkpoint to go on from; leave the flag out to start one"
        )
    if trained and opt.overwrite:
        shutil.rmtree(folder)
    elif trained and not opt.continue_train:
        raise UserError(
            f"{folder} holds a run already: --continue_train goes on with it, --overwrite starts anew, "
            "--name gives this run another folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--checkpoints_dir {opt.checkpoints_dir}: {folder} can't be made ({error.strerror})"
        ) from error
    return folder


def resume(
    opt: argparse.Namespace, checkpoint: Checkpoint, progress: Progress, load_networks: Callable[[str], None]
) -> None:
    """Go on from the whole state of a run; from bare weights where there is no state, or --epoch names some."""
    if checkpoint.path.is_file() and opt.epoch == "latest":
        checkpoint.load()
        opt.epoch_count = progress.first_epoch
        print(f"going on after {progress.images:,} images, in epoch {progress.epoch}")
        return
    load_networks(opt.epoch)
    print(
        f"warning: going on from the weights of --epoch {opt.epoch} alone, as epoch {opt.epoch_count}: optimizers, "
        "image pools and random state start anew",
        file=sys.stderr,
    )
