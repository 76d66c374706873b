"""The argument parser of train.py and test.py: mistakes are UserErrors, and values from files are checked alike."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from util.arguments import TRAINING, ScopedParser, boolean
from util.errors import UserError

_UNSET = object()


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows each default that has a value, and keeps the line breaks of the epilog."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        hidden = action.default is None or action.default == "" or action.nargs == 0
        if hidden or "(default: " in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


class TestHelpFormatter(HelpFormatter):
    """Names the run as the source of the options that a test restores from it."""

    __test__ = False  # pytest: not a test

    def _get_help_string(self, action: argparse.Action) -> str | None:
        text = super()._get_help_string(action)
        if text and getattr(action, "scope", TRAINING).restored_at_test:
            text = text.replace("(default: ", "(default: the run's, or ")
        return text


class OptionParser(ScopedParser):
    """argparse with scopes, without abbreviations; a mistake raises UserError."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        # A value that begins with a hyphen is taken for an option.
        hint = "a value must follow it (with an equals sign if it begins with a hyphen: "
        if text.endswith(": expected one argument"):
            flag = text.partition(":")[0].partition("/")[0]
            text = f"{flag}: {hint}{flag}=VALUE)"
        raise UserError(text)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """argparse's, with the same text in all versions of Python."""
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, _choose(action.choices, value))

    def flags(self) -> set[str]:
        """The flags as they are written."""
        return set(self._option_string_actions)

    def actions_by_flag(self) -> dict[str, argparse.Action]:
        """The options by flag, --help included."""
        return dict(self._option_string_actions)

    def parse_strictly(self, argv: Sequence[str], whose: Callable[[str], str] = lambda flag: "") -> argparse.Namespace:
        """Parse; an unknown flag raises UserError with what `whose` returns for it, or with the nearest known flag."""
        opt, unknown = self.parse_known_args(argv)
        if unknown:
            raise UserError(whose(unknown[0].split("=")[0]) or self._explain_unknown(unknown[0]))
        return opt

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """The options on this command line alone, by name."""
        opt = argparse.Namespace(**dict.fromkeys(self.options(), _UNSET))
        self.parse_known_args(argv, opt)
        return {name: value for name, value in vars(opt).items() if value is not _UNSET}

    def convert(self, source: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values from a file, checked like those on the command line. `source` names the file in errors."""
        options = self.options()
        converted = {}
        for name, value in values.items():
            if name not in options:
                raise UserError(f"{source}: unknown option {name}{suggest(name, options)}")
            try:
                converted[name] = _convert(options[name], value)
            except (argparse.ArgumentTypeError, ValueError) as error:
                raise UserError(f"{source}: {name}: {error}") from error
        return converted

    def _explain_unknown(self, flag: str) -> str:
        if not flag.startswith("-"):
            return f"unexpected argument {flag!r}: each value must follow its flag"
        flag = flag.split("=")[0]
        return f"unknown option {flag}{suggest(flag, self._option_string_actions)}"


def suggest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the nearest known one, if one is near."""
    by_lower = {option.lower(): option for option in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else "; --help lists all options"


def _choose(choices: Iterable[Any], value: Any) -> str:
    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value).lower(), {name.lower(): name for name in names}, n=1, cutoff=0.6)
    guess = f"; did you mean {next(name for name in names if name.lower() == near[0])}?" if near else ""
    return f"must be one of {', '.join(names)}, not {value!r}{guess}"


def _convert(action: argparse.Action, value: Any) -> Any:
    if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction):
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    if value is None and action.default is None:
        return None
    if isinstance(value, bool) and action.type is boolean:
        return value
    if isinstance(value, bool | list | dict) or value is None:
        raise ValueError(f"must be a single value, not {value!r}")
    converted = action.type(str(value)) if callable(action.type) else str(value)
    if action.choices is not None and converted not in action.choices:
        raise ValueError(_choose(action.choices, value))
    return converted


def without_options(argv: Sequence[str], names: Collection[str]) -> list[str]:
    """A command line without the options of these names and their values."""
    flags = {f"--{name}" for name in names}
    kept, skipping = [], False
    for text in argv:
        skipping = text.split("=")[0] in flags if text.startswith("--") else skipping
        kept += [] if skipping else [text]
    return kept
