"""Translate a test set with a trained model and write an HTML gallery.

python test.py --dataroot horse2zebra                        # testA and testB, with the run trained on it
torchrun --nproc_per_node=8 test.py --dataroot horse2zebra   # on eight GPUs
python test.py --dataroot photos --name horse2zebra_cycle_gan --model test --model_suffix _A
"""

from __future__ import annotations

from options import TestOptions
from util.arguments import with_values
from util.errors import run_main
from util.stage import Stage

__test__ = False  # pytest: the tests are in tests/


def main() -> int:
    options = TestOptions()
    opt = options.parse()

    # Imported only now: these need torch, and neither --help nor a mistake in the options should wait for it.
    from data import create_dataset
    from models import create_model
    from util.evaluation.best import describe_checkpoint
    from util.evaluation.evaluator import evaluate
    from util.evaluation.results import Results
    from util.evaluation.selected import extractor_of, metrics_of
    from util.runtime.processes import processes
    from util.runtime.start import prepare
    from util.runtime.stop_signal import StopSignal

    opt = prepare(opt, trains=False)
    model = create_model(opt)
    model.setup(opt)
    if opt.eval:
        model.eval()
    elif model.depends_on_batch:
        opt = with_values(opt, batch_size=1)
        print("note: testing one image at a time, since dropout and batch statistics are as in training without --eval")
    dataset = create_dataset(opt)
    dataset.require_sizes(model.image_sizes(Stage.TEST))
    print(dataset.summary())
    print(model.describe(opt.verbose))
    checkpoint = describe_checkpoint(model.folder, opt.epoch, opt.phase)
    print(f"weights {opt.epoch} of {opt.name} on {model.device}: {checkpoint}")

    metrics = metrics_of(opt, extractor_of(opt, model.device))
    results = Results(opt, dataset, options.identity(opt))
    with StopSignal() as stop:
        evaluation = evaluate(model, dataset, metrics, results, stop)
    if processes().is_main:
        results.finish(evaluation)
    return stop.exit_code if evaluation.interrupted else 0


LESS_MEMORY = (
    "use --batch_size 1, smaller images (--load_size, --crop_size), --precision bf16, --no_reconstruction with "
    "--model cycle_gan, or --device cpu"
)

if __name__ == "__main__":
    run_main(main, LESS_MEMORY)
