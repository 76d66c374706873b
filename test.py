"""Translate a test set with a trained model and write an HTML gallery.

python test.py --dataroot horse2zebra                        # testA and testB, with the run trained on it
torchrun --nproc_per_node=8 test.py --dataroot horse2zebra   # on eight GPUs
python test.py --dataroot photos --name horse2zebra_cycle_gan --model test --model_suffix _A
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from options import TestOptions
from util.errors import run_main

if TYPE_CHECKING:
    from torch import Tensor

    from models.base_model import Translation
    from util.evaluation.metrics import Scores

__test__ = False  # pytest: the tests are in tests/


def scored(translation: Translation, scores: Scores) -> dict[str, Tensor]:
    """The images to show of a translation, with the ground truth of those that have one; they are scored by it."""
    shown = dict(translation.visuals)
    for name, truth in translation.truth.items():
        scores.add(name, shown[name], truth)
        if all(truth is not visual for visual in translation.visuals.values()):  # else it is shown already
            shown[name.replace("fake", "truth")] = truth
    return shown


def main() -> int:
    options = TestOptions()
    opt = options.parse()

    # Imported only now: these need torch, and neither --help nor a mistake in the options should wait for it.
    from data import create_dataset
    from models import create_model
    from util import images
    from util.evaluation import metrics
    from util.files import atomic_write
    from util.monitors import create_monitors
    from util.pages.gallery import Gallery
    from util.runs.progress import Console
    from util.runtime import random_state
    from util.runtime.processes import processes
    from util.runtime.stop_signal import StopSignal

    random_state.seed_everything(opt.seed)
    model = create_model(opt)
    model.setup(opt)
    if opt.eval:
        model.eval()
    elif model.depends_on_batch:
        opt.batch_size = 1
        print("note: one image at a time, with dropout and batch statistics as in training (--eval does without)")
    dataset = create_dataset(opt)
    together = processes()
    wanted = len(together.share(range(min(opt.num_test, len(dataset)))))
    print(dataset.summary())
    print(model.describe(opt.verbose))
    print(f"weights {opt.epoch} of {opt.name} on {model.device}")

    folder = Path(opt.results_dir) / opt.name / f"{opt.phase}_{opt.epoch}"
    gallery = Gallery(
        folder, f"{opt.name}, {opt.phase}, epoch {opt.epoch}", opt.display_winsize, shared=together.count > 1
    )
    scores, scores_file = metrics.Scores(), folder / "metrics.json"
    if together.is_first:
        scores_file.unlink(missing_ok=True)  # of an earlier test
    console = Console(wanted, 0, silent=not together.is_first)
    monitors = create_monitors(opt, [], console.say) if together.is_first else []
    dataset.print_message = console.say
    done = 0
    with StopSignal() as stop:
        for batch in dataset:
            model.set_input(batch)
            model.test()
            for translation in model.translations(batch):
                shown = scored(translation, scores)
                arrays = {name: images.to_array(image, opt.aspect_ratio) for name, image in shown.items()}
                gallery.add_row(images.name_below(Path(opt.dataroot), opt.phase, translation.path), arrays)
                for monitor in monitors:
                    monitor.show_images(arrays, 0, done)
            done += len(model.get_image_paths())
            console.advance(len(model.get_image_paths()), "translating")
            if stop.requested:
                break
        stopped = stop.exit_code
        console.close()
        gallery.finish_pictures()
        for rows, others in together.gather_objects((gallery.rows, scores))[1:]:
            gallery.take(rows)
            scores.take(others)
        done = sum(together.counts(done))
    if not together.is_first:
        return stopped

    means = scores.means()
    for monitor in monitors:
        monitor.add_losses({f"{name} {key}": value for name, values in means.items() for key, value in values.items()})
        monitor.close()
    summary = {name: metrics.in_words(values) for name, values in means.items()}
    page = gallery.close(summary)
    if means:
        record = {"epoch": opt.epoch, "phase": opt.phase, "eval": opt.eval, "scores": means}
        atomic_write(scores_file, json.dumps(record, indent=2) + "\n")
    for name, words in summary.items():
        print(f"{name}: {words}, over {means[name]['images']} images with ground truth")
    print(f"translated {done} of {len(dataset)} images: {page}")
    if opt.num_test < len(dataset) and not stopped:
        print(f"--num_test {len(dataset)} translates them all")
    return stopped


if __name__ == "__main__":
    run_main(main)
