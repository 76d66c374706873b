"""Declaring command line options: parsers and groups that know an option's scope, and types of values.

An option is declared once, with its default, range, help and scope:

    group = parser.add_argument_group("cut")
    group.add_argument("--netF_nc", type=number(int, least=1), default=256, scope=NETWORK, help="...")
"""

from __future__ import annotations

import argparse
import math
import re
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any


class OnResume(Enum):
    """What happens to an option's value when a run is resumed."""

    NOT_RESTORED = "the default or the given value is used, not that of the run"
    FIXED = "restored; another value is an error"
    NEEDS_FORCE = "restored; another value is an error without --force"
    CHANGES_RESULTS = "restored; another value is used from here on, with a note that results change"
    CHANGES_SCHEDULE = "restored; another value is used from here on, with a note on learning rates"
    HARMLESS = "restored; another value is used, and changes no result"


@dataclass(frozen=True)
class Scope:
    """What an option affects. Resuming, testing and options.json follow from it."""

    name: str
    on_resume: OnResume
    restored_at_test: bool = False  # test.py and inference take the value of the run
    new_run_only: bool = False  # dropped when torchrun restarts a run; options.json keeps the value of the first start
    saved: bool = True  # written to options.json

    @property
    def restored_on_resume(self) -> bool:
        """Whether --continue_train takes the value of the run."""
        return self.on_resume is not OnResume.NOT_RESTORED


# The networks that test.py builds too, and those that only training has.
NETWORK = Scope("network", OnResume.FIXED, restored_at_test=True)
TRAINING_NETWORK = Scope("training network", OnResume.FIXED)
# Which images the run learns from, and their size.
DOMAIN = Scope("domain", OnResume.NEEDS_FORCE, restored_at_test=True)
PREPROCESSING = Scope("preprocessing", OnResume.CHANGES_RESULTS, restored_at_test=True)
# Which of the images are held out for validation.
HELD_OUT = Scope("held-out", OnResume.NEEDS_FORCE)
# Whatever else changes the results: the default.
TRAINING = Scope("training", OnResume.CHANGES_RESULTS)
SCHEDULE = Scope("schedule", OnResume.CHANGES_SCHEDULE)
# What is shown, saved and logged, and where the images are.
DISPLAY = Scope("display", OnResume.HARMLESS)
# Where and on which machine this process runs.
MACHINE = Scope("machine", OnResume.NOT_RESTORED)
# How a new run starts.
START = Scope("start", OnResume.NOT_RESTORED, new_run_only=True)
# This command only.
CALL = Scope("call", OnResume.NOT_RESTORED, saved=False)
START_CALL = Scope("start call", OnResume.NOT_RESTORED, new_run_only=True, saved=False)
# Which images a test translates, and how: its results depend on these.
TEST = Scope("test", OnResume.NOT_RESTORED, saved=False)


class ScopedGroup(argparse._ArgumentGroup):
    """A titled group of options. `add_argument` is argparse's, with a scope."""

    def add_argument(self, *flags: Any, scope: Scope = TRAINING, **settings: Any) -> argparse.Action:
        action = super().add_argument(*flags, **settings)
        action.scope = scope  # type: ignore[attr-defined]
        return action


class ScopedParser(argparse.ArgumentParser):
    """argparse's parser, whose options have scopes. Models and datasets add their options to it."""

    def add_argument(self, *flags: Any, scope: Scope = TRAINING, **settings: Any) -> argparse.Action:
        """See argparse; `scope` is what the option affects: see Scope."""
        action = super().add_argument(*flags, **settings)
        action.scope = scope  # type: ignore[attr-defined]
        return action

    def add_argument_group(self, *args: Any, **settings: Any) -> ScopedGroup:
        """See argparse."""
        group = ScopedGroup(self, *args, **settings)
        self._action_groups.append(group)
        return group

    def options(self) -> dict[str, argparse.Action]:
        """The options by name, without --help."""
        return {action.dest: action for action in self._actions if action.dest != "help"}

    def scopes(self) -> dict[str, Scope]:
        """The scope of each option, by name."""
        return {name: getattr(action, "scope", TRAINING) for name, action in self.options().items()}

    def set_scopes(self, **scopes: Scope) -> None:
        """Change scopes, by name, as set_defaults changes defaults. Raises KeyError for an unknown option."""
        for name, scope in scopes.items():
            if name not in self.options():
                raise KeyError(f"set_scopes: unknown option {name}")
            for action in self._actions:
                if action.dest == name:
                    action.scope = scope  # type: ignore[attr-defined]

    def withdraw(self, *names: str) -> None:
        """Remove options that a model has no use for, as if they had never been added."""
        for action in [action for action in self._actions if action.dest in names]:
            action.container._remove_action(action)  # type: ignore[attr-defined]  # its group
            for flag in action.option_strings:
                del self._option_string_actions[flag]
            self._defaults.pop(action.dest, None)


def boolean(text: str) -> bool:
    """The type of an option that is given as True or False. Raises ArgumentTypeError for other text."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be True or False, not {text!r}")
    return text.lower() == "true"


def name_part(text: str) -> str:
    """The type of an option whose value becomes part of a file or folder name."""
    if re.search(r"[/\\\x00-\x1f]|^\.*$", text):
        raise argparse.ArgumentTypeError(f"must be usable in a file name, without / or \\, not {text!r}")
    return text


def name_suffix(text: str) -> str:
    """Like name_part, but may be empty."""
    return name_part(text) if text else ""


def regular_expression(text: str) -> str:
    """The type of an option that is a regular expression. Raises ArgumentTypeError for other text."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"must be a regular expression, not {text!r}: {error}") from error
    return text


def number(
    kind: type[int] | type[float],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    instead: str = "",
) -> Callable[[str], Any]:
    """The type of an option that takes an int or a float. `least` and `most` are in its range, `above` is not.

    `instead` says what to use instead of 0, inf, all or none.
    """
    bounds = [f"at least {least}"] if least > -math.inf else []
    bounds += [f"above {above}"] if above > -math.inf else []
    bounds += [f"at most {most}"] if most < math.inf else []
    wanted, named = " and ".join(bounds), "an integer" if kind is int else "a number"

    def parse(text: str) -> Any:
        try:
            value = kind(text)
            if not math.isfinite(value):
                raise ValueError
        except OverflowError as error:
            raise argparse.ArgumentTypeError("the number is too large") from error
        except ValueError as error:
            hint = instead if text.lower() in ("inf", "all", "none", "off", "no", "-1") else _meant_number(kind, text)
            raise argparse.ArgumentTypeError(_with_hint(f"must be {named}, not {text!r}", hint)) from error
        if not (least <= value <= most and value > above):
            raise argparse.ArgumentTypeError(_with_hint(f"must be {wanted}, not {text}", instead if value <= 0 else ""))
        return value

    return parse


def _with_hint(text: str, hint: str) -> str:
    return f"{text}: {hint}" if hint else text


def _meant_number(kind: type[int] | type[float], text: str) -> str:
    """What to use instead of a text that is not a number, such as 0,0002, 256x256, 1e5 or 256px; empty if unknown."""
    text = text.strip(" ,;").replace("\u2212", "-").replace("\u2013", "-")
    size = re.fullmatch(r"(\d+) *([x*,\u00d7]) *(\d+)", text, re.IGNORECASE)
    if size and (size[1] == size[3] or size[2] != ","):
        return f"use one number for width and height{f', {size[1]}' if size[1] == size[3] else ''}"
    if kind is float:
        found = re.fullmatch(r"(-?\d*)[,.](\d+(?:e[+-]?\d+)?)|(\d+e-?\d+)", text, re.IGNORECASE)
        return "use " + (found[3] or f"{found[1]}.{found[2]}") if found else ""
    if re.fullmatch(r"\d{1,3}([,. ']\d{3})+", text):  # thousands
        return "use " + re.sub(r"\D", "", text)
    if re.fullmatch(r"\d+(\.\d+)?(e\+?\d)?", text, re.IGNORECASE) and float(text).is_integer():
        return f"use {int(float(text))}"
    found = re.fullmatch(r"(\d+)(k)|(\d+) *[a-z]+", text, re.IGNORECASE)
    return "use " + (f"{found[1]}000" if found[2] else found[3]) if found else ""


def with_values(opt: argparse.Namespace, **values: Any) -> argparse.Namespace:
    """A copy of resolved options with other values: options themselves are not changed after they were parsed."""
    return argparse.Namespace(**vars(opt) | values)


# What models and datasets written for an earlier version call. Each warns, and sets scopes.


def builds_networks(parser: ScopedParser, name: str, *, in_testing: bool = True) -> None:
    """Deprecated: declare the option with scope=NETWORK, or TRAINING_NETWORK."""
    scope = NETWORK if in_testing else TRAINING_NETWORK
    _warn("builds_networks", f"add_argument(..., scope={scope.name.upper().replace(' ', '_')})")
    parser.set_scopes(**{name: scope})


def not_changed(parser: ScopedParser, *names: str) -> None:
    """Deprecated: declare the options with scope=TRAINING_NETWORK."""
    _warn("not_changed", "add_argument(..., scope=TRAINING_NETWORK)")
    _change(parser, names, on_resume=OnResume.FIXED)


def not_restored(parser: ScopedParser, *names: str) -> None:
    """Deprecated: use parser.set_scopes(NAME=TRAINING)."""
    _warn("not_restored", "parser.set_scopes(NAME=TRAINING)")
    _change(parser, names, restored_at_test=False)


def withdraw(parser: ScopedParser, *names: str) -> None:
    """Deprecated: use parser.withdraw(NAME, ...)."""
    _warn("withdraw", "parser.withdraw(NAME, ...)")
    parser.withdraw(*names)


def _change(parser: ScopedParser, names: Collection[str], **changes: Any) -> None:
    parser.set_scopes(**{name: replace(parser.scopes()[name], **changes) for name in names})


def _warn(old: str, new: str) -> None:
    warnings.warn(f"util.arguments.{old} is deprecated: use {new}", FutureWarning, stacklevel=3)
