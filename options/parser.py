"""An argument parser whose complaints are sentences."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NoReturn

from util.arguments import boolean
from util.errors import UserError

_UNSET = object()


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default where there is one to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False, "") or action.nargs == 0:
            return action.help
        return super()._get_help_string(action)


class OptionParser(argparse.ArgumentParser):
    """argparse, but mistakes are UserErrors, and `restored` names the options that test.py takes from the run.

    `fixed` names those that a run which goes on can't change: its networks are built by them.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.restored: set[str] = set()
        self.fixed: set[str] = set()

    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))

    def options(self) -> dict[str, argparse.Action]:
        """The options by name, without --help."""
        return {action.dest: action for action in self._actions if action.dest != "help"}

    def flags(self) -> set[str]:
        """The flags as they are written."""
        return set(self._option_string_actions)

    def withdraw(self, names: Collection[str]) -> None:
        """Take the options of these names back, as if they had never been added."""
        for action in [action for action in self._actions if action.dest in names]:
            action.container._remove_action(action)  # type: ignore[attr-defined]  # its group
            for flag in action.option_strings:
                del self._option_string_actions[flag]
            self._defaults.pop(action.dest, None)

    def parse_strictly(self, argv: Sequence[str], whose: Callable[[str], str] = lambda flag: "") -> argparse.Namespace:
        """Parse; a flag that does not exist is a UserError with what `whose` says of it, or the nearest one."""
        opt, unknown = self.parse_known_args(argv)
        if unknown:
            raise UserError(whose(unknown[0].split("=")[0]) or self._explain_unknown(unknown[0]))
        return opt

    def given(self, argv: Sequence[str]) -> dict[str, Any]:
        """Only the options that stand on this command line, by name."""
        opt = argparse.Namespace(**dict.fromkeys(self.options(), _UNSET))
        self.parse_known_args(argv, opt)
        return {name: value for name, value in vars(opt).items() if value is not _UNSET}

    def _explain_unknown(self, flag: str) -> str:
        if not flag.startswith("-"):
            return f"{flag!r} stands where a flag is expected: every value follows its flag"
        return f"{flag.split('=')[0]} is no option{suggest(flag.split('=')[0], self._option_string_actions)}"

    def convert(self, source: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values from a file, checked as those on the command line are. `source` is the file, for the error."""
        options = self.options()
        converted = {}
        for name, value in values.items():
            if name not in options:
                raise UserError(f"{source}: {name} is no option{suggest(name, options)}")
            try:
                converted[name] = _convert(options[name], value)
            except (argparse.ArgumentTypeError, ValueError) as error:
                raise UserError(f"{source}: {name}: {error}") from error
        return converted


def suggest(name: str, known: Any) -> str:
    """The end of a sentence about an unknown name: the nearest known one, if any is near."""
    by_lower = {option.lower(): option for option in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else "; --help lists all of them"


def _convert(action: argparse.Action, value: Any) -> Any:
    if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction):
        if not isinstance(value, bool):
            raise ValueError(f"expected true or false, not {value!r}")
        return value
    if value is None and action.default is None:
        return None
    if isinstance(value, bool) and action.type is boolean:
        return value
    if isinstance(value, bool | list | dict) or value is None:
        raise ValueError(f"expected a single value, not {value!r}")
    converted = action.type(str(value)) if callable(action.type) else str(value)
    if action.choices is not None and converted not in action.choices:
        raise ValueError(f"{value!r} is none of {', '.join(map(str, action.choices))}")
    return converted
