"""Train a model on two folders of images.

python train.py --dataroot horse2zebra                       # trainA and trainB are in it
python train.py --dataroot horse2zebra --continue_train      # go on with a run that was stopped
python train.py --model cycle_gan --help                     # the options of a model
"""

from __future__ import annotations

from options import TrainOptions
from util.errors import run_main


def main() -> int:
    options = TrainOptions()
    opt = options.parse()

    # Imported only now: these need torch, and neither --help nor a mistake in the options should wait for it.
    from data import create_dataset
    from models import create_model
    from models.base_model import NonFiniteLoss
    from util import run_folder, runtime
    from util.checkpoint import Checkpoint
    from util.progress import Progress
    from util.reporter import Reporter
    from util.stop_signal import StopSignal

    folder = run_folder.prepare(opt)
    runtime.seed_everything(opt.seed)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    progress = Progress(first_epoch=opt.epoch_count)
    checkpoint = Checkpoint(
        folder / run_folder.STATE,
        model.state_objects() | {"progress": progress, "random": runtime.RandomState()},
    )
    if opt.continue_train:
        run_folder.resume(opt, checkpoint, progress, model.load_networks)
    options.save(opt, folder)

    def save(*names: str) -> None:
        checkpoint.save()
        for name in names:
            model.save_networks(name)

    print(
        f"{dataset.dataset.summary()}\n{model.describe(opt.verbose)}\nrun {folder} on {model.device}, seed {opt.seed}"
    )
    with StopSignal() as stop, Reporter(opt, folder, progress, len(dataset)) as reporter:
        dataset.say = reporter.say
        while progress.epoch <= opt.n_epochs + opt.n_epochs_decay:
            dataset.set_epoch(progress.epoch, start=progress.images_in_epoch)
            for batch in dataset:
                model.set_input(batch)
                try:
                    model.optimize_parameters()
                except NonFiniteLoss as error:
                    reporter.say(f"error: epoch {progress.epoch}, step {progress.step + 1}: {error}. ")
                    return 1
                progress.count(len(model.get_image_paths()))
                reporter.step(model.get_current_losses, model.get_current_visuals, model.learning_rate)
                if progress.due(opt.save_latest_freq):
                    save("latest", *([f"iter_{progress.images}"] if opt.save_by_iter else []))
                if stop.requested:
                    save("latest")
                    reporter.say(f"stopped and saved: go on with --continue_train --name {opt.name}")
                    return stop.exit_code
            finished = progress.epoch
            model.update_learning_rate()
            progress.end_epoch()
            if finished % opt.save_epoch_freq == 0 or progress.epoch > opt.n_epochs + opt.n_epochs_decay:
                save("latest", str(finished))
    return 0


if __name__ == "__main__":
    run_main(main)
