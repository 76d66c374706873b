"""Train a model on two folders of images.

python train.py --dataroot horse2zebra                       # trainA and trainB are in it
python train.py --dataroot horse2zebra --continue_train      # resume a run that was stopped
python train.py --model cycle_gan --help                     # the options of a model
torchrun --nproc_per_node=8 train.py --dataroot horse2zebra  # on eight GPUs
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from options import TrainOptions
from util.errors import run_main
from util.runtime.stop_signal import StopSignal
from util.stage import Stage

if TYPE_CHECKING:
    from util.monitors.reporter import NullReporter, Reporter
    from util.runs.base_run import BaseRun


def main() -> int:
    options = TrainOptions()
    opt = options.parse()

    # Imported only now: these need torch, and neither --help nor a mistake in the options should wait for it.
    from data import create_dataset, create_validation_dataset
    from models import choose_automatically, create_model
    from util.evaluation.create_validation import create_validation
    from util.monitors.reporter import create_reporter
    from util.runs.init_from import load_initial_weights
    from util.runs.run import create_run
    from util.runtime.processes import processes
    from util.runtime.start import prepare

    opt = choose_automatically(prepare(opt, trains=True))
    dataset = create_dataset(opt)
    options.print_notes(opt, dataset.fingerprint)
    model = create_model(opt)
    model.setup(opt)
    dataset.require_sizes(model.image_sizes(Stage.TRAIN))
    validation = create_validation(opt, model, create_validation_dataset(opt, dataset))
    if opt.init_from:
        load_initial_weights(model.networks(), opt, options.differences)
    run = create_run(opt)  # only now, as --overwrite destroys a run
    run.attach(model, dataset)
    validation.attach(run)
    options.save(opt, run.folder, dataset.fingerprint)

    progress = run.progress
    reporter = create_reporter(opt, run, dataset, model, validation.records)
    ranks = processes()
    with StopSignal(opt.time_limit, run.seconds_to_save, ranks.steps_to_stop) as stop, reporter, run:
        while progress.epoch <= run.last_epoch:
            dataset.set_epoch(progress.epoch, start=progress.images_in_epoch)
            for batch in dataset:
                model.set_input(batch)
                model.optimize_parameters()
                progress.count(model.step_images)
                reporter.step()
                if run.is_due():
                    run.save("latest", *([f"iter_{progress.images}"] if opt.save_by_iter else []))
                if ranks.stop_requested(stop.requested):
                    return save_and_stop(run, reporter, stop)
            if validation.is_due() and not validation.validate(stop, reporter):
                return save_and_stop(run, reporter, stop)
            model.update_learning_rate()
            run.end_epoch(validation.is_best)
    if not run.is_saved:
        return 1
    print(f"trained {run.last_epoch} epochs; translate a test set with: {run.test_command()}")
    return 0


def save_and_stop(run: BaseRun, reporter: Reporter | NullReporter, stop: StopSignal) -> int:
    """Save after a stop was requested; returns the exit code."""
    run.save("latest")
    if not run.is_saved:
        return 1
    reporter.print_message(f"stopped and saved in {run.folder}; resume with: {run.resume_command()}")
    return stop.exit_code


LESS_MEMORY = (
    "use a smaller --crop_size or --batch_size, --grad_checkpoint, --accumulate (micro-batches) or --precision bf16; "
    "checkpoints saved so far are intact, and --continue_train resumes from the last"
)

if __name__ == "__main__":
    run_main(main, LESS_MEMORY)
