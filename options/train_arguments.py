"""The options that train.py alone has, declared by topic. Weights of losses are the models' own options."""

from __future__ import annotations

from models.lr_policies import LR_POLICIES
from models.objectives import GAN_MODES
from options.metric_arguments import add_metric_options
from util.arguments import (
    CALL,
    DISPLAY,
    HELD_OUT,
    MACHINE,
    SCHEDULE,
    START,
    START_CALL,
    TRAINING,
    ScopedParser,
    name_part,
    number,
    regular_expression,
)
from util.evaluation.metrics import METRICS


def add_train_options(parser: ScopedParser) -> None:
    """Add the options of training that do not depend on the model."""
    add_schedule_options(parser)
    add_step_options(parser)
    add_start_options(parser)
    add_checkpoint_options(parser)
    add_validation_options(parser)
    add_metric_options(parser, scope=TRAINING)
    add_monitor_options(parser)
    add_visdom_options(parser)


def add_schedule_options(parser: ScopedParser) -> None:
    """Epochs and learning rate."""
    group = parser.add_argument_group("schedule")
    epochs = number(int, least=0)
    group.add_argument(
        "--n_epochs", type=epochs, default=100, metavar="N", scope=SCHEDULE, help="epochs at the initial learning rate"
    )
    group.add_argument(
        "--n_epochs_decay",
        type=epochs,
        default=100,
        metavar="N",
        scope=SCHEDULE,
        help="epochs of decay to a learning rate of 0, after --n_epochs",
    )
    group.add_argument(
        "--lr", type=number(float, above=0), default=0.0002, scope=TRAINING, help="initial learning rate of Adam"
    )
    group.add_argument(
        "--beta1", type=number(float, least=0, most=0.999), default=0.5, scope=TRAINING, help="momentum of Adam"
    )
    group.add_argument(
        "--lr_policy",
        type=LR_POLICIES.checked,
        metavar="NAME",
        default="linear",
        scope=TRAINING,
        help=f"learning rate schedule: {', '.join(LR_POLICIES)}, or your package.module:name",
    )
    group.add_argument(
        "--lr_warmup",
        type=number(int, least=0),
        default=0,
        metavar="STEPS",
        scope=TRAINING,
        help="linear warm-up: steps in which learning rates rise from 0",
    )
    group.add_argument(
        "--lr_decay_iters",
        type=number(int, least=1),
        default=50,
        metavar="N",
        scope=TRAINING,
        help="epochs between decays of --lr_policy step",
    )


def add_step_options(parser: ScopedParser) -> None:
    """The images, the objective, and how a training step is computed."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--phase",
        type=name_part,
        default="train",
        scope=TRAINING,
        help="start of the names of image folders; --dataset_mode unaligned reads trainA and trainB",
    )
    group.add_argument(
        "--gan_mode",
        type=GAN_MODES.checked,
        metavar="NAME",
        default="lsgan",
        scope=TRAINING,
        help=f"GAN loss: {', '.join(GAN_MODES)}, or your package.module:name",
    )
    group.add_argument(
        "--lambda_gp",
        type=number(float, least=0),
        default=10.0,
        scope=TRAINING,
        help="weight of the gradient penalty of --gan_mode wgangp",
    )
    group.add_argument(
        "--pool_size",
        type=number(int, least=0),
        default=50,
        metavar="N",
        scope=TRAINING,
        help="size of the image pool: earlier generated images that discriminators see again",
    )
    group.add_argument(
        "--ema_decay",
        type=number(float, least=0, most=0.99999),
        default=0.0,
        scope=TRAINING,
        help="save an exponential moving average of the generators, with this decay; 0: none",
    )
    group.add_argument(
        "--accumulate",
        type=number(int, least=1, instead="use 1 for whole batches"),
        default=1,
        metavar="N",
        scope=TRAINING,
        help="gradient accumulation: split each batch into N micro-batches, to save memory",
    )
    add_speed_options(parser)


def add_speed_options(parser: ScopedParser) -> None:
    """Memory and speed of a step."""
    group = parser.add_argument_group("memory and speed")
    group.add_argument(
        "--grad_checkpoint",
        action="store_true",
        scope=TRAINING,
        help="gradient checkpointing: recompute residual blocks in the backward pass, to save memory",
    )
    group.add_argument(
        "--compile", action="store_true", scope=TRAINING, help="use torch.compile, which takes minutes at the start"
    )
    group.add_argument(
        "--cuda_graph",
        choices=("auto", "on", "off"),
        default="auto",
        scope=TRAINING,
        help="on NVIDIA GPUs, record the operations of a step once and replay them; auto: off, because this was "
        "not checked on a GPU yet",
    )
    group.add_argument(
        "--channels_last", action="store_true", scope=TRAINING, help="channels-last memory format, for tensor cores"
    )


def add_start_options(parser: ScopedParser) -> None:
    """How a run starts, or is resumed."""
    group = parser.add_argument_group("start and resume")
    group.add_argument(
        "--continue_train", action="store_true", scope=CALL, help="resume the run from its last checkpoint"
    )
    group.add_argument(
        "--force",
        action="store_true",
        scope=CALL,
        help="resume even if the dataset, its direction or the loss log changed",
    )
    group.add_argument(
        "--init_from",
        metavar="RUN_OR_FILE",
        scope=START,
        help="initialize a new run with the weights of a run, with its network options too, of a folder or a .pth file",
    )
    group.add_argument(
        "--init_partial", action="store_true", scope=START, help="with --init_from: load only the weights that fit"
    )
    group.add_argument(
        "--overwrite", action="store_true", scope=START_CALL, help="start a new run in the folder of an existing one"
    )
    group.add_argument(
        "--epoch_count",
        type=number(int, least=1),
        default=1,
        metavar="N",
        scope=START,
        help="number of the first epoch",
    )


def add_checkpoint_options(parser: ScopedParser) -> None:
    """When checkpoints and weights are saved."""
    group = parser.add_argument_group("checkpoints")
    interval = number(int, least=0, instead="use 0 to switch it off")
    minutes = number(float, above=0, instead="omit the option to switch it off")
    group.add_argument(
        "--save_latest_freq",
        type=interval,
        default=5000,
        metavar="N",
        scope=DISPLAY,
        help="save a checkpoint every N images; 0: only when weights are kept",
    )
    group.add_argument(
        "--save_every", type=minutes, metavar="MINUTES", scope=DISPLAY, help="also save one every so many minutes"
    )
    group.add_argument(
        "--keep_checkpoints",
        type=number(int, least=1),
        default=2,
        metavar="N",
        scope=DISPLAY,
        help="number of checkpoints to keep",
    )
    group.add_argument(
        "--save_epoch_freq",
        type=interval,
        default=5,
        metavar="N",
        scope=DISPLAY,
        help="keep the weights of every Nth epoch; 0: only of the last",
    )
    group.add_argument(
        "--save_by_iter", action="store_true", scope=DISPLAY, help="keep the weights of each checkpoint, as iter_N"
    )
    group.add_argument(
        "--no_lock",
        action="store_true",
        scope=MACHINE,
        help="do not lock the run folder, for file systems without locks: make sure yourself that only one process "
        "trains in it",
    )
    group.add_argument(
        "--time_limit",
        type=minutes,
        metavar="MINUTES",
        scope=CALL,
        help="save and stop before so many minutes have passed",
    )


def add_validation_options(parser: ScopedParser) -> None:
    """Add the options for validation images, how often they are scored, and the use of the scores."""
    group = parser.add_argument_group("validation")
    group.add_argument(
        "--val_freq",
        type=number(int, least=0, instead="use 0 to switch it off"),
        default=5,
        metavar="N",
        scope=DISPLAY,
        help="score the model on validation images (valA and valB, or --val_fraction) every N epochs; 0: never",
    )
    group.add_argument(
        "--val_fraction",
        type=number(float, least=0, most=0.9),
        default=0.0,
        metavar="F",
        scope=HELD_OUT,
        help="hold out this fraction of the training images for validation, by a hash of their names",
    )
    group.add_argument(
        "--val_group",
        type=regular_expression,
        metavar="REGEX",
        scope=HELD_OUT,
        help="hold out whole groups, such as patients or scenes; images are in one group if the expression, or its "
        "parts in parentheses, match the same text in their names",
    )
    group.add_argument(
        "--val_images",
        type=number(int, least=2),
        default=200,
        metavar="N",
        scope=TRAINING,
        help="use at most N validation images of a folder",
    )
    group.add_argument(
        "--best_metric",
        type=METRICS.checked,
        metavar="NAME",
        scope=TRAINING,
        help="keep the weights with the best score as best_net_*.pth (default: kid; swd without an extractor; mae for "
        "pairs)",
    )
    group.add_argument(
        "--early_stop",
        type=number(int, least=0, instead="use 0 to switch it off"),
        default=0,
        metavar="N",
        scope=DISPLAY,
        help="stop after N validations without a better score; 0: never",
    )


def add_monitor_options(parser: ScopedParser) -> None:
    """Losses on the console and images on the HTML page. Frequencies count images."""
    group = parser.add_argument_group("monitoring")
    images = number(int, least=0, instead="use 0 to switch it off")
    group.add_argument(
        "--print_freq",
        type=images,
        default=100,
        metavar="N",
        scope=DISPLAY,
        help="print and log losses every N images; 0: never",
    )
    group.add_argument(
        "--update_html_freq",
        type=images,
        default=1000,
        metavar="N",
        scope=DISPLAY,
        help="update the HTML page every N images; 0: only at the end",
    )
    group.add_argument(
        "--fixed_images",
        type=number(int, least=0),
        default=2,
        metavar="N",
        scope=DISPLAY,
        help="training images that the HTML page shows again in every epoch, translated in eval mode; 0: none",
    )
    group.add_argument("--no_html", action="store_true", scope=DISPLAY, help="write no HTML page")
    group.add_argument(
        "--use_tensorboard", action="store_true", scope=DISPLAY, help="write TensorBoard files into the run's folder"
    )
    group.add_argument(
        "--monitor", metavar="MODULE:NAME", scope=DISPLAY, help="your own monitor, as package.module:name"
    )


def add_visdom_options(parser: ScopedParser) -> None:
    """The visdom server, and what is sent to it."""
    group = parser.add_argument_group("visdom")
    group.add_argument(
        "--display_id", type=int, default=1, metavar="N", scope=DISPLAY, help="first window; 0 or less: no visdom"
    )
    group.add_argument("--display_server", default="http://localhost", scope=DISPLAY, help="server")
    group.add_argument(
        "--display_port", type=number(int, least=1, most=65535), default=8097, scope=DISPLAY, help="port"
    )
    group.add_argument("--display_env", default="main", scope=DISPLAY, help="environment")
    group.add_argument(
        "--display_freq",
        type=number(int, least=0, instead="use 0 to switch it off"),
        default=400,
        metavar="N",
        scope=DISPLAY,
        help="send images to live monitors every N images; 0: never",
    )
    group.add_argument(
        "--display_ncols",
        type=number(int, least=0),
        default=4,
        metavar="N",
        scope=DISPLAY,
        help="images in a row; 0: a window for each",
    )
