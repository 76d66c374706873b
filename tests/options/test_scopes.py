"""What the scope of an option means, for options of models that users wrote."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from models import architectures, option_checks
from options import TestOptions, TrainOptions
from options.parser import OptionParser
from util import arguments
from util.arguments import NETWORK, TRAINING, TRAINING_NETWORK, OnResume, Scope
from util.errors import UserError
from util.runtime import torchrun_job

# A model as users write it: each option but the first has a scope.
MODEL = """
from models.test_model import TestModel
from util.arguments import *

class Mine(TestModel):
    trainable = True

    @staticmethod
    def add_options(parser, is_train):
        parser.add_argument("--plain", type=int, default=1)
        group = parser.add_argument_group("mine")
        group.add_argument("--width", type=number(int, least=1), default=1, scope=NETWORK)
        group.add_argument("--judges", type=int, default=1, scope=TRAINING_NETWORK)
        group.add_argument("--place", type=int, default=1, scope=DOMAIN)
        group.add_argument("--scaling", type=int, default=1, scope=PREPROCESSING)
        group.add_argument("--warm_up", type=int, default=1, scope=SCHEDULE)
        group.add_argument("--color_map", type=int, default=1, scope=DISPLAY)
        group.add_argument("--workers", type=int, default=1, scope=MACHINE)
        group.add_argument("--teacher", type=int, default=1, scope=START)
        group.add_argument("--profile", type=int, default=1, scope=CALL)
        group.add_argument("--wipe", type=int, default=1, scope=START_CALL)
        parser.set_defaults(dataset_mode="single")

    @staticmethod
    def finish_options(opt, is_train):
        pass
"""
NAMES = ("plain", "width", "judges", "place", "scaling", "warm_up", "color_map", "workers", "teacher")
NAMES += ("profile", "wipe")  # of one call
FLAGS = [text for name in NAMES for text in (f"--{name}", "2")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"scoped_{tmp_path.name}.py").write_text(MODEL)
    return tmp_path


@pytest.fixture
def common(here: Path) -> list[str]:
    """Flags of a run whose options are saved, each of the model's own with the value 2."""
    flags = ["--dataroot", "photos", "--name", "mine", "--model", f"scoped_{here.name}:Mine"]
    folder = here / "checkpoints" / "mine"
    folder.mkdir(parents=True)
    options = TrainOptions()
    options.save(options.parse([*flags, *FLAGS]), folder, {})
    return flags


def values(opt: argparse.Namespace) -> dict[str, int]:
    return {name: getattr(opt, name) for name in NAMES}


def saved(here: Path) -> dict[str, int]:
    record = json.loads((here / "checkpoints" / "mine" / "options.json").read_text())["options"]
    return {name: record[name] for name in NAMES if name in record}


def test_options_json_has_all_options_but_those_of_one_call(common: list[str], here: Path) -> None:
    assert saved(here) == dict.fromkeys(set(NAMES) - {"profile", "wipe"}, 2)


def test_a_resumed_run_restores_what_the_scope_says(common: list[str]) -> None:
    restored = ("plain", "width", "judges", "place", "scaling", "warm_up", "color_map")
    assert values(TrainOptions().parse([*common, "--continue_train"])) == {
        name: 2 if name in restored else 1 for name in NAMES
    }


def test_a_test_restores_what_the_scope_says(common: list[str]) -> None:
    restored = ("width", "place", "scaling")
    assert values(TestOptions().parse(["--name", "mine"])) == {name: 2 if name in restored else 1 for name in NAMES}


RESULTS = " from here on: an uninterrupted run would give other results"
CHANGES = {
    "plain": f"note: --plain 3 overrides the run's 2{RESULTS}\n",
    "scaling": f"note: --scaling 3 overrides the run's 2{RESULTS}\n",
    "warm_up": "note: --warm_up 3 overrides the run's 2 from here on: learning rates follow the new schedule\n",
    "color_map": "note: --color_map 3 overrides the run's 2\n",
    **dict.fromkeys(("workers", "teacher", "profile"), ""),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_on_resume_is_noted(name: str, common: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert getattr(TrainOptions().parse([*common, "--continue_train", f"--{name}", "3"]), name) == 3
    assert capsys.readouterr().err == CHANGES[name]


@pytest.mark.parametrize("name", ["width", "judges", "place"])
def test_a_change_on_resume_is_refused(name: str, common: list[str]) -> None:
    with pytest.raises(UserError, match=f"^--{name} 3: the run has 2"):
        TrainOptions().parse([*common, "--continue_train", f"--{name}", "3"])


def test_force_allows_other_images_and_no_other_network(common: list[str]) -> None:
    forced = [*common, "--continue_train", "--force"]
    assert TrainOptions().parse([*forced, "--place", "3"]).place == 3
    with pytest.raises(UserError, match="which can't change on resume"):
        TrainOptions().parse([*forced, "--width", "3"])


def test_options_json_keeps_how_a_resumed_run_started(common: list[str], here: Path) -> None:
    options = TrainOptions()
    flags = ["--teacher", "5", "--workers", "6", "--plain", "7", "--epoch", "4", "--epoch_count", "5"]
    options.save(options.parse([*common, "--continue_train", *flags]), here / "checkpoints" / "mine", {})
    assert (saved(here)["teacher"], saved(here)["workers"], saved(here)["plain"]) == (2, 6, 7)
    record = json.loads((here / "checkpoints" / "mine" / "options.json").read_text())["options"]
    assert (record["epoch"], record["epoch_count"]) == ("latest", 1)


def test_a_restart_by_torchrun_drops_how_the_run_started(
    common: list[str], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RUN_ID", "1"), ("RESTART_COUNT", "1")):
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    monkeypatch.setenv("LOCAL_RANK", "0")
    folder = here / "checkpoints" / "mine"
    torchrun_job.leave_mark(folder)
    (folder / "latest_state.pt").write_text("")
    (here / "c.yaml").write_text("teacher: 6\noverwrite: true\nplain: 7\n")
    flags = ["--teacher", "5", "--wipe=5", "--workers", "5", "--profile", "5", "--overwrite", "--config", "c.yaml"]
    opt = TrainOptions().parse([*common, *flags])
    assert (opt.teacher, opt.wipe, opt.workers, opt.profile, opt.plain) == (1, 1, 5, 5, 7)
    assert opt.continue_train is True and opt.overwrite is False


def test_what_each_scope_means() -> None:
    scopes = {scope.name: scope for scope in vars(arguments).values() if isinstance(scope, Scope)}
    shown = {
        name: (scope.on_resume.name, scope.restored_at_test, scope.new_run_only, scope.saved)
        for name, scope in scopes.items()
    }
    assert shown == {
        "network": ("FIXED", True, False, True),
        "training network": ("FIXED", False, False, True),
        "domain": ("NEEDS_FORCE", True, False, True),
        "preprocessing": ("CHANGES_RESULTS", True, False, True),
        "held-out": ("NEEDS_FORCE", False, False, True),
        "training": ("CHANGES_RESULTS", False, False, True),
        "schedule": ("CHANGES_SCHEDULE", False, False, True),
        "display": ("HARMLESS", False, False, True),
        "machine": ("NOT_RESTORED", False, False, True),
        "start": ("NOT_RESTORED", False, True, True),
        "call": ("NOT_RESTORED", False, False, False),
        "start call": ("NOT_RESTORED", False, True, False),
        "test": ("NOT_RESTORED", False, False, False),
    }


# The parser.


@pytest.fixture
def parser() -> OptionParser:
    parser = OptionParser()
    parser.add_argument_group("group").add_argument("--width", type=int, default=1)
    parser.add_argument("--on", dest="switch", action="store_true", scope=NETWORK)
    parser.add_argument("--off", dest="switch", action="store_false", scope=NETWORK)
    return parser


def test_scopes_are_set_by_name_for_all_flags_of_an_option(parser: OptionParser) -> None:
    assert parser.scopes() == {"width": TRAINING, "switch": NETWORK}
    parser.set_scopes(width=NETWORK, switch=TRAINING_NETWORK)
    assert parser.scopes() == {"width": NETWORK, "switch": TRAINING_NETWORK}
    assert {action.scope for action in parser._actions if action.dest == "switch"} == {TRAINING_NETWORK}  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="unknown option depth"):
        parser.set_scopes(depth=NETWORK)


def test_options_that_argparse_adds_without_a_scope_are_of_training(parser: OptionParser) -> None:
    parser.add_mutually_exclusive_group().add_argument("--either")
    assert parser.scopes()["either"] == TRAINING


def test_withdrawn_options_are_unknown(parser: OptionParser) -> None:
    parser.withdraw("switch")
    assert parser.options().keys() == {"width"}
    with pytest.raises(UserError, match=r"^unknown option --on"):
        parser.parse_strictly(["--on"])


def test_marks_of_an_earlier_version_set_scopes_and_warn(parser: OptionParser) -> None:
    with pytest.warns(FutureWarning, match=r"builds_networks is deprecated: use add_argument\(..., scope=NETWORK\)"):
        arguments.builds_networks(parser, "width")
    assert parser.scopes()["width"] == NETWORK
    with pytest.warns(FutureWarning, match=r"scope=TRAINING_NETWORK\)"):
        arguments.builds_networks(parser, "width", in_testing=False)
    assert parser.scopes()["width"] == TRAINING_NETWORK
    with pytest.warns(FutureWarning, match="not_restored is deprecated"):
        arguments.not_restored(parser, "switch")
    assert parser.scopes()["switch"].restored_at_test is False
    parser.set_scopes(width=TRAINING)
    with pytest.warns(FutureWarning, match="not_changed is deprecated"):
        arguments.not_changed(parser, "width")
    assert parser.scopes()["width"].on_resume is OnResume.FIXED
    with pytest.warns(FutureWarning, match="withdraw is deprecated"):
        arguments.withdraw(parser, "width")
    assert parser.options().keys() == {"switch"}


@pytest.mark.parametrize(
    "name", ["check_generator_size", "check_discriminator_size", "check_equal_channels", "refuse_class_ids"]
)
def test_checks_are_found_under_their_old_name_with_a_warning(name: str) -> None:
    with pytest.warns(FutureWarning, match=rf"models.architectures.{name} is now models.option_checks.{name}"):
        assert getattr(architectures, name) is getattr(option_checks, name)
    with pytest.raises(AttributeError, match="has no attribute 'check_nothing'"):
        _ = architectures.check_nothing


# Types.


@pytest.mark.parametrize("text", ["0.5", "1", "1e-3"])
def test_numbers_in_their_range_are_accepted(text: str) -> None:
    assert arguments.number(float, above=0, most=1)(text) == float(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0", "must be above 0 and at most 1, not 0"),
        ("1.1", "must be above 0 and at most 1, not 1.1"),
        ("inf", "must be a number, not 'inf'"),
        ("", "must be a number, not ''"),
    ],
)
def test_numbers_out_of_their_range_are_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        arguments.number(float, above=0, most=1)(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "a\\b", "a\nb"])
def test_parts_of_file_names(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be usable in a file name"):
        arguments.name_part(text)
    assert arguments.name_part("iter_20.5") == "iter_20.5" and arguments.name_suffix("") == ""
