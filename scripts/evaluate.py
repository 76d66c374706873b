"""Evaluate translations against real images of the target domain.

Images in a folder, such as those of another program, or of a gallery (results/NAME/test_latest/images):

    python scripts/evaluate.py translations photos/testB
    python scripts/evaluate.py translations photos/testB --pairs --source photos/testA --baseline other_translations

A run, which translates its own test images or those of --source:

    python scripts/evaluate.py checkpoints/maps_cycle_gan maps/testB              # the last and the best checkpoint
    python scripts/evaluate.py checkpoints/maps_cycle_gan maps/testA --direction BtoA --epoch 50 100 150 200

Intervals are 95% confidence intervals. docs/evaluation.md explains the figures and what they can be compared with.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from options.metric_arguments import add_metric_options
from util.arguments import CALL, ScopedParser
from util.errors import UserError, run_main


def parse_arguments() -> argparse.Namespace:
    parser = ScopedParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "subject", type=Path, help="a folder of translations, or the folder of a run (checkpoints/NAME)"
    )
    parser.add_argument("reference", type=Path, help="a folder of real images of the target domain, such as testB")
    parser.add_argument(
        "--source",
        type=Path,
        help="folder of source images, with the names of their translations; "
        "for a run, the images to translate (default: its dataset's test images)",
    )
    parser.add_argument(
        "--pairs",
        action="store_true",
        help="the reference has the ground truth of each translation, under the same name",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        help="folder of other translations of the same sources: paired differences are also printed",
    )
    parser.add_argument("--visual", help="fake_A or fake_B, if the folder is a gallery that has both")
    parser.add_argument(
        "--direction", choices=("AtoB", "BtoA"), help="for a run (default: the direction in which it was trained)"
    )
    parser.add_argument(
        "--epoch", nargs="+", help="for a run: latest, best, numbers of epochs, or all (default: latest and best)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write all figures, and the scores of each image")
    add_metric_options(parser, CALL)
    return parser.parse_args()


def require_folders(opt: argparse.Namespace) -> None:
    """Raise UserError if one of the folders does not exist, or is a dataset instead of a folder of one domain."""
    named = {
        "the subject": opt.subject,
        "the reference": opt.reference,
        "--source": opt.source,
        "--baseline": opt.baseline,
    }
    for option, folder in named.items():
        if folder is None:
            continue
        if not folder.is_dir():
            run = ", or of a run (checkpoints/NAME)" if option == "the subject" else ""
            raise UserError(f"{option} {folder} is not a folder: expected a folder of images{run}")
        domains = [name for name in ("testA", "testB", "trainA", "trainB") if (folder / name).is_dir()]
        if len(domains) > 1:
            raise UserError(
                f"{option} {folder} has folders of both domains: choose one of them, such as {folder / domains[1]}"
            )


def main() -> None:
    opt = parse_arguments()
    require_folders(opt)
    # Imported only now: these need torch, and neither --help nor a mistake in the options should wait for it.
    from scripts.evaluation.report import evaluate

    evaluate(opt)


if __name__ == "__main__":
    run_main(main, "use --device cpu, or smaller images")
