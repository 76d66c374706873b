"""The flags of train.py and test.py alike, and how the values of all flags come about."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data import DATASETS, PREPROCESS
from data.fingerprint import difference
from models import MODELS
from models.architectures import DISCRIMINATORS, GENERATORS, INIT_TYPES, NORMS, UPSAMPLINGS
from options import files
from options.parser import HelpFormatter, OptionParser
from util import monitors
from util.arguments import number
from util.errors import UserError
from util.runs.provenance import changed_versions

DEFAULT_MODEL = "cycle_gan"


class BaseOptions:
    """Resolves options. Later sources win: defaults, the model's defaults, the run's (test), --config, flags."""

    is_train: bool
    description: str
    repeated: Mapping[str, Any]  # what --config, or the run that goes on, says of a run besides its options

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """The options as a Namespace, checked. `argv` is the command line without the program's name.

        Raises UserError for a mistake; --help prints and exits.
        """
        argv = list(sys.argv[1:] if argv is None else argv)
        parser = self._base_parser(add_help=False)
        given = parser.given(argv)
        config_file = given.get("config")
        config, self.repeated = files.read_config(Path(config_file)) if config_file else ({}, {})
        config = self._usable(config)
        # At first without the options that only the model or dataset of a run to restore may know.
        opt, _ = self._resolve(argv, config, {}, strict=False)
        _settle_name(opt)
        run = self._run_to_restore(opt, given | config)
        restored = self._restored(Path(opt.checkpoints_dir), run, given | config) if run else {}
        opt, parser = self._resolve(argv, config, restored)
        if run:
            opt.name, opt.suffix = run, ""
            by_hand = (parser.given(argv).keys() | config.keys()) & restored.keys() - {"name"}
            self._judge_changes(
                {key: restored[key] for key in sorted(by_hand) if restored[key] != getattr(opt, key)}, opt, parser
            )
        _settle_name(opt)
        self._settle(opt, given | config)
        for room, name in ((MODELS, opt.model), (DATASETS, opt.dataset_mode)):
            room.options(name).finish_options(opt, self.is_train)
        return opt

    def _usable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """What of a --config holds."""
        return dict(config)

    def describe(self, opt: argparse.Namespace) -> str:
        """The options as text, a line each, with the default where it is another."""
        parser = self._parser_for(opt.model, opt.dataset_mode)
        return files.as_text(opt, {name: parser.get_default(name) for name in parser.options()})

    def tell_differences(self, fingerprint: Mapping[str, Any]) -> None:
        """Say why a run that goes on, or repeats another, may end differently: versions, or (repeating) the dataset."""
        if versions := changed_versions(self.repeated.get("versions", {})):
            print(f"note: results may differ in the last bits from those of {versions}", file=sys.stderr)
        if changed := difference(self.repeated.get("dataset", fingerprint), fingerprint):
            print(f"note: the dataset is not the one of --config: {changed}", file=sys.stderr)

    def save(self, opt: argparse.Namespace, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        """Write options.json and options.txt into the folder of the run, with the fingerprint of its dataset."""
        files.save_run(folder, opt, self.describe(opt), fingerprint)

    # Options of an earlier run, which hold for this one too.

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        """The name of the run to take options from, if any."""
        raise NotImplementedError

    def _restorable(self, parser: OptionParser) -> set[str]:
        """The names of the options to take."""
        raise NotImplementedError

    def _restored(self, checkpoints: Path, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """What that run's options.json has of the restorable options; a model given by hand brings its own dataset."""
        record = files.read_record(checkpoints / name) or {"options": {}, "run": {}}
        run = record["options"]
        if self.is_train:
            self.repeated = {"versions": record["run"].get("versions", {})}
        by_hand = "model" in given and given["model"] != run.get("model")
        model = given["model"] if by_hand else run.get("model", self._base_parser(False).get_default("model"))
        parser = self._parser_for(model, None if by_hand else run.get("dataset_mode"))
        names = (self._restorable(parser) & run.keys()) - ({"model", "dataset_mode"} if by_hand else set())
        return parser.convert(str(checkpoints / name / files.OPTIONS), {key: run[key] for key in names})

    def _judge_changes(self, changed: Mapping[str, Any], opt: argparse.Namespace, parser: OptionParser) -> None:
        """Say that options given by hand are others than the run's, which are `changed`, by name."""
        for name, before in changed.items():
            print(f"note: --{name} {getattr(opt, name)}, as given; the run has {before}", file=sys.stderr)

    # Building the parser: the model named by an option brings options of its own, and so does the dataset.

    def _resolve(
        self, argv: Sequence[str], config: Mapping[str, Any], restored: Mapping[str, Any], strict: bool = True
    ) -> tuple[argparse.Namespace, OptionParser]:
        """The options of all sources, and their parser; an unknown one is a UserError if `strict`, else left out."""
        early = self._base_parser(add_help=False)
        chosen = {name: config[name] for name in ("model", "dataset_mode") if name in config}
        by_hand = early.given(argv)
        source = f"--config {by_hand.get('config')}"
        given = {**restored, **early.convert(source, chosen), **by_hand}
        model = given.get("model", early.get_default("model"))
        parser = self._parser_for(model, given.get("dataset_mode"))
        elsewhere = config.keys() if not strict else set() if self.is_train else self._training_options(model)
        here = {name: value for name, value in config.items() if name in parser.options() or name not in elsewhere}
        known = {name: value for name, value in restored.items() if name in parser.options()}
        self._set_defaults(parser, model, known, parser.convert(source, here), argv)
        opt = parser.parse_strictly(argv, partial(self._whose, model)) if strict else parser.parse_known_args(argv)[0]
        opt.is_train = self.is_train
        return opt, parser

    def _whose(self, model: str, flag: str) -> str:
        """Which other models have a flag that this one has not; empty if there is none."""
        owners = [name for name in MODELS.names() if name != model and self._has(name, flag)]
        return f"{flag} is an option of --model {', '.join(owners)}, not of {model}" if owners else ""

    def _has(self, model: str, flag: str) -> bool:
        """Whether it is an option of the model itself; not if the model, as one half written, can't be asked."""
        parser = self._base_parser(add_help=False)
        try:
            found = MODELS.options(model)
            found.add_options(parser, self.is_train)
        except Exception:
            return False
        return flag in parser.flags() and (found.trainable or not self.is_train)

    def _set_defaults(
        self,
        parser: OptionParser,
        model: str,
        restored: Mapping[str, Any],
        config: Mapping[str, Any],
        argv: Sequence[str],
    ) -> None:
        """Make what the run and --config say the defaults, with what follows from it.

        Where a source changes what follows from its options, that wins over the sources before it, but not over what
        the source itself says: a mode given by hand is not undone by what another mode had meant.
        """
        before: dict[str, Any] = {}
        for source, flags in (({}, ()), (restored, ()), (config, ()), ({}, argv)):
            parser.set_defaults(**source)
            opt = parser.parse_known_args(flags, argparse.Namespace(is_train=self.is_train))[0]
            dependent = MODELS.options(model).dependent_defaults(opt)
            changed = {name: value for name, value in dependent.items() if before.get(name) != value}
            parser.set_defaults(**{name: value for name, value in changed.items() if name not in source})
            before = dependent

    def _parser_for(self, model: str, dataset_mode: str | None) -> OptionParser:
        parser = self._base_parser(add_help=True)
        model_class = MODELS.options(model)
        if self.is_train and not model_class.trainable:
            raise UserError(f"--model {model} can't be trained: it only translates, with test.py")
        model_class.add_options(parser, self.is_train)
        DATASETS.options(dataset_mode or parser.get_default("dataset_mode")).add_options(parser, self.is_train)
        return parser

    def _training_options(self, model: str) -> set[str]:
        """The names of options that only training has, which a --config for both may hold."""
        return set()

    def _base_parser(self, add_help: bool) -> OptionParser:
        parser = OptionParser(
            description=self.description,
            add_help=add_help,
            formatter_class=HelpFormatter,
            usage="%(prog)s --dataroot FOLDER [options]",
        )
        self.add_options(parser)
        return parser

    def add_options(self, parser: OptionParser) -> None:
        """Add the flags that do not depend on the model or the dataset."""
        add_run_options(parser)
        add_network_options(parser)
        add_data_options(parser)

    def _settle(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        """Fill in what follows from other options, and check what no owner checks."""
        if opt.load_iter > 0:
            opt.epoch = f"iter_{opt.load_iter}"
        _settle_device(opt, given)
        if opt.use_wandb and find_spec("wandb") is None:
            raise UserError("--use_wandb: the package wandb is not installed; pip install wandb")
        if getattr(opt, "use_tensorboard", False) and find_spec("tensorboard") is None:
            raise UserError("--use_tensorboard: the package tensorboard is not installed; pip install tensorboard")
        if getattr(opt, "monitor", None):
            monitors.find_outside(opt.monitor)
        if opt.conv == "winograd" and opt.precision in ("bf16", "fp16"):
            raise UserError(f"--conv winograd computes in float32: leave it out with --precision {opt.precision}")
        if opt.preprocess in ("resize_and_crop", "scale_width_and_crop") and opt.load_size < opt.crop_size:
            raise UserError(
                f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}, so --preprocess "
                f"{opt.preprocess} has nothing to crop from: use --load_size {opt.crop_size} or larger"
            )


def usual_name(dataroot: str, model: str) -> str:
    """The name of a run that is given none."""
    return f"{Path(dataroot).resolve().name}_{model}"


def _settle_name(opt: argparse.Namespace) -> None:
    """Fill in --name, with its --suffix; it is the name of a folder, which must not lead out of --checkpoints_dir."""
    if not opt.dataroot:
        raise UserError(
            "--dataroot is required: the folder of your images, with trainA and trainB, or testA and testB, in it"
        )
    if not opt.name:
        opt.name = usual_name(opt.dataroot, opt.model)
    if opt.suffix:
        try:
            opt.name = f"{opt.name}_{opt.suffix.format(**vars(opt))}"
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise UserError(f"--suffix {opt.suffix}: names options in braces, such as {{netG}} ({error})") from error
        opt.suffix = ""
    if re.search(r"(^|[/\\])\.\.?([/\\]|$)|^[/\\]|^$|[\x00-\x1f]", opt.name):
        raise UserError(f"--name {opt.name!r} is no name of a folder in --checkpoints_dir {opt.checkpoints_dir}")
    for option in ("epoch", "phase"):  # parts of names of files and folders
        if re.search(r"[/\\\x00-\x1f]|^\.*$", getattr(opt, option)):
            raise UserError(f"--{option} {getattr(opt, option)!r} is no part of a file's name")


def _settle_device(opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
    """--gpu_ids, as the field's commands have it, says what --device is."""
    if opt.gpu_ids is None:
        return
    if "device" in given:
        raise UserError(f"--gpu_ids {opt.gpu_ids} and --device {opt.device} say the same thing: give one of them")
    first, *others = [part.strip() for part in opt.gpu_ids.split(",")]
    if not re.fullmatch(r"-1|\d+", first):
        raise UserError(f"--gpu_ids {opt.gpu_ids}: expected the number of a GPU, or -1 for the CPU")
    opt.device, opt.gpu_ids = ("cpu" if first == "-1" else f"cuda:{first}"), None
    if others:
        print(f"note: of several --gpu_ids a single GPU is used, number {first}", file=sys.stderr)


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of auto, cpu, cuda, cuda:0 (and so on), mps")
    return text


def add_run_options(parser: OptionParser) -> None:
    """Where the run is, what it runs on, and what it reports."""
    group = parser.add_argument_group("run")
    group.add_argument(
        "--dataroot",
        metavar="FOLDER",
        help="the images: a folder with what --dataset_mode reads in it (unaligned: trainA, trainB, testA, testB)",
    )
    group.add_argument("--name", metavar="NAME", help="the run's folder in --checkpoints_dir (default: DATAROOT_MODEL)")
    group.add_argument("--checkpoints_dir", default="./checkpoints", help="where the runs are")
    group.add_argument("--config", metavar="FILE", help="options from a .yaml or .json file; flags given here win")
    group.add_argument("--suffix", default="", help="added to --name; may hold options, such as {netG}_{load_size}")
    group.add_argument("--epoch", default="latest", help="which weights to load: latest, or a number")
    group.add_argument("--load_iter", type=number(int, least=0), default=0, help="weights of this --save_by_iter")
    group.add_argument("--device", type=_device, default="auto", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument(
        "--precision",
        choices=("fp32", "tf32", "bf16", "fp16"),
        default="fp32",
        help="numbers that networks compute with",
    )
    group.add_argument(
        "--conv",
        choices=("auto", "direct", "winograd"),
        default="auto",
        help="how generators convolve on a CPU; auto: with fewer multiplications where that is faster",
    )
    group.add_argument("--gpu_ids", metavar="IDS", help="as in other CycleGAN code: -1 is the CPU, 0 the first GPU")
    group.add_argument(
        "--seed", type=number(int, least=0, most=2**31 - 1), help="of everything random (default: drawn)"
    )
    group.add_argument("--verbose", action="store_true", help="print all options and networks")
    group.add_argument("--use_wandb", action="store_true", help="report to Weights & Biases as well")
    group.add_argument("--wandb_project_name", default="CycleGAN-and-pix2pix", help="project there")
    group.add_argument(
        "--display_winsize",
        type=number(int, least=16),
        default=256,
        help="width of an image on the pages, in pixels",
    )


def add_network_options(parser: OptionParser) -> None:
    """The model and its networks."""
    group = parser.add_argument_group("networks")
    names = ", ".join(MODELS.names())
    positive = number(int, least=1)
    generator = {"model", "netG", "norm", "ngf", "upsample", "no_dropout", "input_nc", "output_nc"}
    parser.restored |= generator | {"dataset_mode"}
    parser.fixed |= generator | {"netD", "ndf", "n_layers_D", "norm_D"}
    group.add_argument("--model", default=DEFAULT_MODEL, help=f"{names}, or your own package.module:Class")
    group.add_argument("--input_nc", type=positive, default=3, metavar="N", help="channels of the input: 1 grey, 3 RGB")
    group.add_argument("--output_nc", type=positive, default=3, metavar="N", help="channels of the output")
    group.add_argument("--ngf", type=positive, default=64, metavar="N", help="generator filters in the outer layers")
    group.add_argument("--ndf", type=positive, default=64, metavar="N", help="discriminator filters in the first layer")
    group.add_argument("--netG", choices=GENERATORS, default="resnet_9blocks", help="generator")
    group.add_argument(
        "--upsample",
        choices=UPSAMPLINGS,
        default="basic",
        help="how generators double sides; basic: by transposed convolutions, as published weights; bilinear: "
        "interpolated, then convolved, which leaves no grid",
    )
    group.add_argument("--netD", choices=DISCRIMINATORS, default="basic", help="discriminator; basic: 70x70 patches")
    group.add_argument("--n_layers_D", type=positive, default=3, metavar="N", help="layers of --netD n_layers")
    group.add_argument("--norm", choices=NORMS, default="instance", help="normalisation")
    group.add_argument("--norm_D", choices=NORMS, help="normalisation of the discriminator (default: as --norm)")
    group.add_argument("--init_type", choices=INIT_TYPES, default="normal", help="how weights are drawn at first")
    group.add_argument("--init_gain", type=number(float, above=0), default=0.02, metavar="G", help="scale of that draw")
    group.add_argument("--no_dropout", action="store_true", help="no dropout in the generator")
    group.add_argument("--dropout", dest="no_dropout", action="store_false", help="the opposite of --no_dropout")
    parser.set_defaults(no_dropout=False)


def add_data_options(parser: OptionParser) -> None:
    """The images and what happens to them."""
    group = parser.add_argument_group("data")
    names = ", ".join(DATASETS.names())
    positive = number(int, least=1)
    parser.restored |= {"direction", "preprocess", "crop_size"}
    group.add_argument("--dataset_mode", default="unaligned", help=f"{names}, or your own package.module:Class")
    group.add_argument("--direction", choices=("AtoB", "BtoA"), default="AtoB", help="BtoA swaps the two domains")
    group.add_argument("--serial_batches", action="store_true", help="take the images in order, not at random")
    group.add_argument("--num_threads", type=number(int, least=0), default=4, metavar="N", help="loader workers")
    group.add_argument("--batch_size", type=positive, default=1, metavar="N", help="images of each domain in a step")
    group.add_argument("--load_size", type=positive, default=286, metavar="N", help="images are scaled to this size")
    group.add_argument("--crop_size", type=positive, default=256, metavar="N", help="and then cropped to this size")
    group.add_argument("--max_dataset_size", type=positive, metavar="N", help="use only so many images of a folder")
    group.add_argument("--preprocess", choices=PREPROCESS, default="resize_and_crop", help="scaling and cropping")
    group.add_argument("--no_flip", action="store_true", help="do not mirror images at random")
    group.add_argument(
        "--cache",
        choices=("none", "ram", "disk"),
        default="none",
        help="keep decoded and scaled images from the first epoch on, in memory or in --cache_dir",
    )
    group.add_argument(
        "--cache_dir", metavar="FOLDER", help="of --cache disk (default: .cache in --dataroot); may be removed any time"
    )
    group.add_argument(
        "--on_bad_image",
        choices=("skip", "error"),
        default="skip",
        help="take another for an unreadable one, or stop",
    )
