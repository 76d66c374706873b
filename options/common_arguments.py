"""The options that train.py and test.py share, declared by topic."""

from __future__ import annotations

import argparse
import re

from data import DATASETS, PREPROCESS
from models import MODELS
from models.architectures import INIT_TYPES, NORMS, PADDINGS, UPSAMPLINGS
from models.networks import DISCRIMINATORS, GENERATORS
from util.arguments import (
    CALL,
    DISPLAY,
    DOMAIN,
    MACHINE,
    NETWORK,
    PREPROCESSING,
    START,
    TRAINING,
    TRAINING_NETWORK,
    ScopedParser,
    name_part,
    number,
)

DEFAULT_MODEL = "cycle_gan"


def add_common_options(parser: ScopedParser) -> None:
    """Add the options that depend on neither the model nor the dataset."""
    add_run_options(parser)
    add_compute_options(parser)
    add_logging_options(parser)
    add_model_options(parser)
    add_network_options(parser)
    add_image_options(parser)
    add_loader_options(parser)


def add_run_options(parser: ScopedParser) -> None:
    """The run: its images, folder, options file, weights and seed."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--dataroot",
        metavar="FOLDER",
        scope=DISPLAY,
        help="folder of the images; --dataset_mode unaligned reads trainA, trainB, testA and testB in it",
    )
    group.add_argument(
        "--name", metavar="NAME", scope=MACHINE, help="folder of the run in --checkpoints_dir (default: DATAROOT_MODEL)"
    )
    group.add_argument("--checkpoints_dir", default="./checkpoints", scope=MACHINE, help="folder of all runs")
    group.add_argument(
        "--config", metavar="FILE", scope=CALL, help="read options from a .yaml or .json file; flags override them"
    )
    group.add_argument(
        "--suffix", default="", scope=MACHINE, help="added to --name; may contain options, such as {netG}_{load_size}"
    )
    group.add_argument(
        "--epoch", type=name_part, default="latest", scope=START, help="weights to load: latest, or an epoch"
    )
    group.add_argument(
        "--load_iter",
        type=number(int, least=0),
        default=0,
        scope=START,
        help="load the weights that --save_by_iter saved at this iteration; 0: load those of --epoch",
    )
    seed = number(int, least=0, most=2**31 - 1)
    group.add_argument("--seed", type=seed, scope=TRAINING, help="random seed; train.py draws one by default")


def add_compute_options(parser: ScopedParser) -> None:
    """The device, and how it computes."""
    group = parser.add_argument_group("compute")
    group.add_argument("--device", type=_device, default="auto", scope=MACHINE, help="auto, cpu, cuda, cuda:1 or mps")
    group.add_argument(
        "--gpu_ids", metavar="IDS", scope=MACHINE, help="same as --device: -1 is cpu, 0 is cuda:0; one GPU is used"
    )
    group.add_argument(
        "--precision",
        choices=("auto", "fp32", "tf32", "tf32_conv", "bf16", "fp16"),
        default="auto",
        scope=TRAINING,
        help="floating-point format of the networks; tf32_conv: TF32 in convolutions only; auto: tf32_conv on NVIDIA "
        "GPUs since Ampere, fp32 elsewhere",
    )
    group.add_argument(
        "--deterministic",
        action="store_true",
        scope=TRAINING,
        help="on a GPU, use only operators that compute the same bits in every run, so that a resumed run ends with "
        "the same bits as an uninterrupted one; slower; not needed on a CPU",
    )
    group.add_argument(
        "--conv",
        choices=("auto", "direct", "winograd"),
        default="auto",
        scope=TRAINING,
        help="convolution algorithm of the generators on a CPU; auto: Winograd where it is faster",
    )


def add_logging_options(parser: ScopedParser) -> None:
    """Output of training and testing."""
    group = parser.add_argument_group("logging")
    group.add_argument("--verbose", action="store_true", scope=MACHINE, help="print all options and networks")
    group.add_argument("--use_wandb", action="store_true", scope=DISPLAY, help="also log to Weights & Biases")
    group.add_argument(
        "--wandb_project_name", default="CycleGAN-and-pix2pix", scope=DISPLAY, help="Weights & Biases project"
    )
    group.add_argument(
        "--display_winsize",
        type=number(int, least=16),
        default=256,
        scope=DISPLAY,
        help="width of the images on HTML pages, in pixels",
    )


def add_model_options(parser: ScopedParser) -> None:
    """The model, its channels, and how weights are initialized."""
    group = parser.add_argument_group("model")
    names = ", ".join(MODELS.listed_names())
    channels = number(int, least=1)
    group.add_argument("--model", default=DEFAULT_MODEL, scope=NETWORK, help=f"{names}, or your package.module:Class")
    group.add_argument(
        "--input_nc", type=channels, default=3, metavar="N", scope=NETWORK, help="input channels: 1 for gray, 3 for RGB"
    )
    group.add_argument("--output_nc", type=channels, default=3, metavar="N", scope=NETWORK, help="output channels")
    group.add_argument(
        "--init_type", choices=INIT_TYPES, default="normal", scope=TRAINING, help="weight initialization"
    )
    group.add_argument(
        "--init_gain",
        type=number(float, above=0),
        default=0.02,
        metavar="G",
        scope=TRAINING,
        help="gain of the weight initialization",
    )


def add_network_options(parser: ScopedParser) -> None:
    """The architecture of generators."""
    group = parser.add_argument_group("networks")
    positive = number(int, least=1)
    group.add_argument(
        "--netG",
        type=GENERATORS.checked,
        metavar="NAME",
        default="resnet_9blocks",
        scope=NETWORK,
        help=f"generator: {', '.join(GENERATORS)}, or your package.module:name",
    )
    group.add_argument(
        "--ngf", type=positive, default=64, metavar="N", scope=NETWORK, help="filters in the generator's first layer"
    )
    group.add_argument("--norm", choices=NORMS, default="instance", scope=NETWORK, help="normalization layers")
    group.add_argument("--no_dropout", action="store_true", scope=NETWORK, help="no dropout in the generator")
    group.add_argument(
        "--dropout", dest="no_dropout", action="store_false", scope=NETWORK, help="dropout in the generator"
    )
    parser.set_defaults(no_dropout=False)
    group.add_argument(
        "--upsample",
        choices=UPSAMPLINGS,
        default="basic",
        scope=NETWORK,
        help="upsampling in generators; basic: transposed convolution; bilinear: interpolation and convolution, "
        "without checkerboard artifacts",
    )
    group.add_argument(
        "--padding_type",
        choices=PADDINGS,
        default="reflect",
        scope=NETWORK,
        help="padding in the residual blocks of ResNet generators; zero changes parameter names in weight files",
    )
    add_discriminator_options(parser)


def add_discriminator_options(parser: ScopedParser) -> None:
    """The architecture of discriminators."""
    group = parser.add_argument_group("discriminators")
    positive = number(int, least=1)
    group.add_argument(
        "--netD",
        type=DISCRIMINATORS.checked,
        metavar="NAME",
        default="basic",
        scope=TRAINING_NETWORK,
        help=f"discriminator: {', '.join(DISCRIMINATORS)} (basic: 70x70 patches), or your package.module:name",
    )
    group.add_argument(
        "--ndf",
        type=positive,
        default=64,
        metavar="N",
        scope=TRAINING_NETWORK,
        help="filters in the discriminator's first layer",
    )
    group.add_argument(
        "--n_layers_D", type=positive, default=3, metavar="N", scope=TRAINING_NETWORK, help="layers of --netD n_layers"
    )
    group.add_argument(
        "--norm_D",
        choices=NORMS,
        scope=TRAINING_NETWORK,
        help="normalization layers of the discriminator (default: --norm)",
    )


def add_image_options(parser: ScopedParser) -> None:
    """The dataset, and how its images are scaled, cropped and flipped."""
    group = parser.add_argument_group("images")
    names = ", ".join(DATASETS.listed_names())
    size = number(int, least=1)
    group.add_argument(
        "--dataset_mode", default="unaligned", scope=DOMAIN, help=f"{names}, or your package.module:Class"
    )
    group.add_argument(
        "--direction", choices=("AtoB", "BtoA"), default="AtoB", scope=DOMAIN, help="BtoA swaps the domains"
    )
    group.add_argument(
        "--preprocess",
        choices=PREPROCESS,
        default="resize_and_crop",
        scope=PREPROCESSING,
        help="how images are scaled and cropped",
    )
    group.add_argument(
        "--load_size",
        type=size,
        default=286,
        metavar="N",
        scope=TRAINING,
        help="scale images to this size; in test.py, --crop_size",
    )
    group.add_argument(
        "--crop_size",
        type=size,
        default=256,
        metavar="N",
        scope=PREPROCESSING,
        help="then crop to this size, in pixels",
    )
    group.add_argument("--no_flip", action="store_true", scope=TRAINING, help="no random horizontal flips")
    group.add_argument(
        "--max_dataset_size",
        type=number(int, least=1, instead="omit the option to use all images"),
        metavar="N",
        scope=TRAINING,
        help="use at most N images of a folder (default: all)",
    )


def add_loader_options(parser: ScopedParser) -> None:
    """How batches are loaded."""
    group = parser.add_argument_group("loading")
    group.add_argument(
        "--batch_size", type=number(int, least=1), default=1, metavar="N", scope=TRAINING, help="images in a batch"
    )
    group.add_argument("--serial_batches", action="store_true", scope=TRAINING, help="load images in order, unshuffled")
    group.add_argument(
        "--num_threads", type=number(int, least=0), default=4, metavar="N", scope=MACHINE, help="loader workers"
    )
    group.add_argument(
        "--cache",
        choices=("none", "ram", "disk"),
        default="none",
        scope=MACHINE,
        help="keep decoded and scaled images after the first epoch, in memory or in --cache_dir",
    )
    group.add_argument(
        "--cache_dir",
        metavar="FOLDER",
        scope=MACHINE,
        help="folder of --cache disk, safe to delete (default: .cache in --dataroot)",
    )
    group.add_argument(
        "--on_bad_image",
        choices=("skip", "error"),
        default="skip",
        scope=TRAINING,
        help="for an unreadable image: use another one, or stop",
    )
    group.add_argument(
        "--icc",
        choices=("ignore", "srgb"),
        default="ignore",
        scope=PREPROCESSING,
        help="for a color profile other than sRGB: ignore it, or convert the colors to sRGB",
    )
    group.add_argument(
        "--fast_decode",
        action="store_true",
        scope=PREPROCESSING,
        help="decode large JPEGs at 1/2, 1/4 or 1/8 of their size, but not below the size that they are scaled to: "
        "several times faster, with slightly different pixels",
    )
    group.add_argument(
        "--no_fast_decode",
        dest="fast_decode",
        action="store_false",
        scope=PREPROCESSING,
        help="decode JPEGs at full size",
    )
    parser.set_defaults(fast_decode=False)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be auto, cpu, mps, cuda, or a GPU such as cuda:0, not {text!r}")
    return text
