"""Resolving options: from the command line, --config, an earlier run and defaults to one Namespace."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data import DATASETS
from models import MODELS
from options import files, pasted
from options.common_arguments import add_common_options
from options.mistakes import Corrector, value_of
from options.parser import HelpFormatter, OptionParser, without_options
from options.test_arguments import add_test_options
from options.train_arguments import add_train_options
from util import monitors
from util.arguments import Scope
from util.command import script_command
from util.errors import UserError, is_main_by_environment
from util.evaluation import extractors

TRAIN, TEST = "train.py", "test.py"


@dataclass(frozen=True)
class Config:
    """Values of options, by name, that override defaults and the earlier run; `source` names them in errors."""

    source: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class BaseOptions:
    """Resolves options. Later sources override earlier ones: defaults, the model's, the run's, --config, flags."""

    is_train: bool
    description: str
    usage: str
    examples: str
    formatter: type[HelpFormatter] = HelpFormatter
    argv: Sequence[str] = ()  # the command line
    source_run: Mapping[str, Any]  # of --config or the resumed run: its versions, and the fingerprint of its dataset

    def parse(self, argv: Sequence[str] | None = None) -> argparse.Namespace:
        """The complete, checked options. `argv` is the command line without the program's name.

        Raises UserError for a mistake; --help prints and exits. Nothing is filled in later.
        """
        argv = _with_negative_ids(list(sys.argv[1:] if argv is None else argv))
        self.argv, self.source_run = argv, {}
        try:
            config = Config()
            if file := self._base_parser(add_help=False).given(argv).get("config"):
                values, self.source_run = files.read_config(Path(file))
                config = Config(f"--config {file}", self._usable(values))
            opt = self.resolve(argv, config)
            if pasted.changes_a_value(argv):
                raise UserError(f"curly quotes or a single = in {' '.join(argv)}")
            return opt
        except UserError as error:
            if better := self._corrector(argv).explain(argv):
                raise UserError(better) from error
            raise

    def resolve(self, argv: Sequence[str], config: Config) -> argparse.Namespace:
        """The options of a command line and a config, with those that they take from an earlier run."""
        given = self._base_parser(add_help=False).given(argv) | dict(config.values)
        # The first pass finds the run; it ignores options that only the run's model or dataset may have.
        opt, _ = self._merge(argv, config, {}, strict=False)
        self._require_images(opt, given)
        _set_name(opt)
        run = self._run_to_restore(opt, given)
        restored = self._restored(Path(opt.checkpoints_dir), run, given) if run else {}
        copied = {} if run else self._architecture_to_copy(opt, given)
        opt, parser = self._merge(argv, config, restored or copied)
        overridden = parser.given(argv).keys() | config.values.keys()
        before = {
            name: value
            for name, value in sorted((restored or copied).items())
            if name in overridden and value != getattr(opt, name, value)
        }
        if run:
            opt.name, opt.suffix = run, ""
            self._check_changes(before, opt, parser.scopes())
        elif copied:
            self._note_copies(opt, copied, before, self._merge(argv, config, {})[0])
        _set_name(opt)
        self._finish(opt, given)
        for registry, name in ((MODELS, opt.model), (DATASETS, opt.dataset_mode)):
            registry.options(name).finish_options(opt, self.is_train)
        return opt

    @staticmethod
    def _resolve_extractor(opt: argparse.Namespace, *, is_needed: bool) -> None:
        """Replace --extractor auto by what this machine has, and note if that is none but one `is_needed`."""
        weights = Path(opt.inception_weights) if opt.inception_weights else None
        resolution = extractors.resolve(opt.extractor, weights)
        opt.extractor = resolution.name
        if opt.feature_resize != "clean" and opt.extractor != "inception":
            raise UserError(
                f"--feature_resize {opt.feature_resize} has an effect only with Inception-v3, but --extractor is "
                f"{opt.extractor}: omit it, or give --inception_weights FILE"
            )
        if resolution.note and is_needed and is_main_by_environment():
            print(f"note: {resolution.note}", file=sys.stderr)

    def describe(self, opt: argparse.Namespace) -> str:
        """The options as text, one a line, with the default of each that differs from it."""
        parser = self._parser_for(opt.model, opt.dataset_mode)
        return files.as_text(opt, {name: parser.get_default(name) for name in parser.options()})

    def save(self, opt: argparse.Namespace, folder: Path, fingerprint: Mapping[str, Any]) -> None:
        """On rank 0, write options.json and options.txt to the folder of the run, with its dataset's fingerprint."""
        if not is_main_by_environment():
            return
        scopes = self._parser_for(opt.model, opt.dataset_mode).scopes()
        files.save_run(folder, opt, scopes, self.describe(opt), fingerprint)

    # What training and testing do differently.

    def add_options(self, parser: OptionParser) -> None:
        """Add the options that depend on neither the model nor the dataset."""
        add_common_options(parser)

    def _require_images(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        """Raise UserError if nothing names the images."""
        raise NotImplementedError

    def _run_to_restore(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> str | None:
        """The name of the run to restore options from, if any."""
        raise NotImplementedError

    def _architecture_to_copy(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options of the networks that a new run takes from the run of --init_from."""
        return {}

    def _note_copies(
        self,
        opt: argparse.Namespace,
        copied: Mapping[str, Any],
        overridden: Mapping[str, Any],
        without: argparse.Namespace,
    ) -> None:
        """Note which options were copied; `without` has the options as they were without that."""

    def _is_restored(self, scope: Scope) -> bool:
        """Whether options of this scope are restored from the run."""
        raise NotImplementedError

    def _check_changes(self, before: Mapping[str, Any], opt: argparse.Namespace, scopes: Mapping[str, Scope]) -> None:
        """Refuse or report options that override the run's; `before` has the run's values, by name."""
        for name, value in before.items():
            print(f"note: --{name} {getattr(opt, name)} overrides the run's {value}", file=sys.stderr)

    def _usable(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a --config that apply to this call."""
        return dict(config)

    def _default_model(self, argv: Sequence[str], parser: OptionParser) -> str:
        """The model when no source names one."""
        return str(parser.get_default("model"))

    def _training_options(self, model: str) -> set[str]:
        """The names of options that only training has, which a --config for both may contain."""
        return set()

    # Restoring and merging.

    def _restored(self, checkpoints: Path, run: str, given: Mapping[str, Any]) -> dict[str, Any]:
        """The options to restore from the run's options.json, by name; another --model brings its own dataset."""
        folder = checkpoints / run
        if self.is_train:
            record = files.read_record(folder) or {"run": {}}
            self.source_run = {"versions": record["run"].get("versions", {})}
        return self._read_options(folder, given, self._is_restored)

    def _read_options(
        self, folder: Path, given: Mapping[str, Any], is_wanted: Callable[[Scope], bool]
    ) -> dict[str, Any]:
        """The options of wanted scopes in the options.json of a run, by name.

        Another --model brings its own dataset.
        """
        record = files.read_record(folder) or {"options": {}}
        options = record["options"]
        other_model = "model" in given and given["model"] != options.get("model")
        default = self._base_parser(add_help=False).get_default("model")
        model = given["model"] if other_model else options.get("model", default)
        parser = self._parser_for(model, None if other_model else options.get("dataset_mode"))
        names = {name for name, scope in parser.scopes().items() if is_wanted(scope)} & options.keys()
        if other_model:
            names -= {"model", "dataset_mode"}
        return parser.convert(str(folder / files.OPTIONS), {name: options[name] for name in names})

    def _merge(
        self, argv: Sequence[str], config: Config, restored: Mapping[str, Any], strict: bool = True
    ) -> tuple[argparse.Namespace, OptionParser]:
        """The options of all sources, and their parser; unknown ones raise UserError if `strict`, or are ignored."""
        base = self._base_parser(add_help=False)
        chosen = {name: config.values[name] for name in ("model", "dataset_mode") if name in config.values}
        given = {**restored, **base.convert(config.source, chosen), **base.given(argv)}
        model = given["model"] if "model" in given else self._default_model(argv, base)
        parser = self._parser_for(model, given.get("dataset_mode"))
        ignored = config.values.keys() if not strict else set() if self.is_train else self._training_options(model)
        usable = {
            name: value for name, value in config.values.items() if name in parser.options() or name not in ignored
        }
        known = {name: value for name, value in restored.items() if name in parser.options()}
        self._set_defaults(parser, model, known, parser.convert(config.source, usable), argv)
        opt = parser.parse_strictly(argv, partial(self._whose, model)) if strict else parser.parse_known_args(argv)[0]
        opt.is_train = self.is_train
        return opt, parser

    def _set_defaults(
        self,
        parser: OptionParser,
        model: str,
        restored: Mapping[str, Any],
        config: Mapping[str, Any],
        argv: Sequence[str],
    ) -> None:
        """Make the values of the run and of the config the parser's defaults, with the defaults that depend on them.

        A source that changes the dependent defaults (--CUT_mode FastCUT) thereby overrides earlier sources, but no
        value that the source itself gives.
        """
        before: dict[str, Any] = {}
        for source, flags in (({}, ()), (restored, ()), (config, ()), ({}, argv)):
            parser.set_defaults(**source)
            opt = parser.parse_known_args(flags, argparse.Namespace(is_train=self.is_train))[0]
            dependent = MODELS.options(model).dependent_defaults(opt)
            changed = {name: value for name, value in dependent.items() if before.get(name) != value}
            parser.set_defaults(**{name: value for name, value in changed.items() if name not in source})
            before = dependent

    # Building the parser: model and dataset add their own options.

    def _base_parser(self, add_help: bool) -> OptionParser:
        parser = OptionParser(
            description=self.description,
            epilog=self.examples,
            add_help=add_help,
            formatter_class=self.formatter,
            usage=self.usage,
        )
        self.add_options(parser)
        return parser

    def _parser_for(self, model: str, dataset_mode: str | None) -> OptionParser:
        parser = self._base_parser(add_help=True)
        model_options = MODELS.options(model)
        if self.is_train and not model_options.trainable:
            raise UserError(f"--model {model} can't be trained: it only translates, with test.py")
        model_options.add_options(parser, self.is_train)
        DATASETS.options(dataset_mode or parser.get_default("dataset_mode")).add_options(parser, self.is_train)
        return parser

    def _corrector(self, argv: Sequence[str]) -> Corrector:
        """What finds the mistakes in a command line of this program."""
        own, other = self._all_actions(self.is_train), self._all_actions(not self.is_train)
        model = value_of("--model", argv) or ""
        if ":" in model:
            with suppress(Exception):  # the error that is being explained
                own = self._parser_for(model, None).actions_by_flag() | own
        return Corrector(_script(self.is_train), own, _script(not self.is_train), other)

    def _all_actions(self, is_train: bool) -> dict[str, argparse.Action]:
        """The options, by flag, that train.py or test.py has with any model or dataset."""
        found: dict[str, argparse.Action] = {}
        for options in (None, *MODELS.all_options(), *DATASETS.all_options()):
            parser = OptionParser(add_help=True)
            add_common_options(parser)
            (add_train_options if is_train else add_test_options)(parser)
            if options and (getattr(options, "trainable", True) or not is_train):
                options.add_options(parser, is_train)
            found = parser.actions_by_flag() | found
        return found

    def _whose(self, model: str, flag: str) -> str:
        """A sentence that names the other models with this flag; empty if no model has it."""
        owners = [name for name in MODELS.listed_names() if name != model and self._has(name, flag)]
        return f"{flag} is an option of --model {', '.join(owners)}, not of {model}" if owners else ""

    def _has(self, model: str, flag: str) -> bool:
        """Whether a model has this flag; False for a model whose options can't be read."""
        parser = self._base_parser(add_help=False)
        try:
            found = MODELS.options(model)
            found.add_options(parser, self.is_train)
        except Exception:
            return False
        return flag in parser.flags() and (found.trainable or not self.is_train)

    def _finish(self, opt: argparse.Namespace, given: Mapping[str, Any]) -> None:
        """Set the options that follow from others, and check combinations that belong to no single model."""
        if opt.load_iter > 0:
            opt.epoch = f"iter_{opt.load_iter}"
        _set_device(opt, given, self.argv)
        if opt.use_wandb and find_spec("wandb") is None:
            raise UserError("--use_wandb: the package wandb is not installed; pip install wandb")
        if getattr(opt, "use_tensorboard", False) and find_spec("tensorboard") is None:
            raise UserError("--use_tensorboard: the package tensorboard is not installed; pip install tensorboard")
        if getattr(opt, "monitor", None):
            monitors.find_outside(opt.monitor)
        if opt.conv == "winograd" and opt.precision in ("bf16", "fp16"):
            raise UserError(
                f"--conv winograd computes in float32 only: remove it, or use --precision fp32 instead of "
                f"{opt.precision}"
            )
        if opt.preprocess in ("resize_and_crop", "scale_width_and_crop") and opt.load_size < opt.crop_size:
            raise UserError(
                f"--load_size {opt.load_size} is smaller than --crop_size {opt.crop_size}, so --preprocess "
                f"{opt.preprocess} can't crop: use --load_size {opt.crop_size} or larger"
            )


def default_name(dataroot: str, model: str) -> str:
    """The name of a run without --name."""
    return f"{Path(dataroot).resolve().name}_{model}"


def _set_name(opt: argparse.Namespace) -> None:
    """Complete --name, with its --suffix. Raises UserError for a name that leads out of --checkpoints_dir."""
    if not opt.name:
        opt.name = default_name(opt.dataroot, opt.model)
    if opt.suffix:
        try:
            opt.name = f"{opt.name}_{opt.suffix.format(**vars(opt))}"
        except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"--suffix {opt.suffix}: braces must contain the name of an option, such as {{netG}} ({error})"
            ) from error
        opt.suffix = ""
    if re.search(r"(^|[/\\])\.\.?([/\\]|$)|^[/\\]|^$|[\x00-\x1f]", opt.name):
        raise UserError(f"--name {opt.name!r} does not name a folder inside --checkpoints_dir {opt.checkpoints_dir}")


def _set_device(opt: argparse.Namespace, given: Mapping[str, Any], argv: Sequence[str]) -> None:
    """Set --device from --gpu_ids, the flag of other CycleGAN code."""
    if opt.gpu_ids is None:
        return
    if "device" in given:
        raise UserError(f"--gpu_ids {opt.gpu_ids} and --device {opt.device} both choose the device: give only one")
    ids = [part.strip() for part in opt.gpu_ids.strip(" ,").split(",")]
    if not all(re.fullmatch(r"-1|\d+", number) for number in ids):
        raise UserError(f"--gpu_ids {opt.gpu_ids}: must be the number of a GPU, or -1 for the CPU")
    if len(ids) > 1 and "-1" in ids:
        raise UserError(
            f"--gpu_ids {opt.gpu_ids}: -1 is the CPU, which can't be combined with GPUs: use --gpu_ids -1, or "
            f"--gpu_ids {next((number for number in ids if number != '-1'), 0)}"
        )
    opt.device, opt.gpu_ids = ("cpu" if ids[0] == "-1" else f"cuda:{ids[0]}"), None
    if len(ids) > 1 and os.environ.get("WORLD_SIZE", "1") == "1":
        command = script_command(_script(opt.is_train), without_options(argv, {"gpu_ids"}), processes=len(ids))
        print(
            f"note: only GPU {ids[0]} is used; to use all: CUDA_VISIBLE_DEVICES={','.join(ids)} {command}",
            file=sys.stderr,
        )


def _with_negative_ids(argv: Sequence[str]) -> list[str]:
    """A command line in which --gpu_ids -1,0 is one word: argparse would take -1,0 for an option."""
    joined: list[str] = []
    for word in argv:
        if joined[-1:] == ["--gpu_ids"] and re.match(r"-\d", word):
            joined[-1] = f"--gpu_ids={word}"
        else:
            joined.append(word)
    return joined


def _script(is_train: bool) -> str:
    return TRAIN if is_train else TEST
