"""What owners of command line options need for argparse: types of arguments, and marks."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any


def boolean(text: str) -> bool:
    """The type of an option that is given as True or False, as the field's commands have some."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return text.lower() == "true"


def number(
    kind: type[int] | type[float],
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
) -> Callable[[str], Any]:
    """The type of an option that takes a number: `least` and `most` belong to its range, `above` does not."""
    bounds = [f"at least {least:g}"] if least > -math.inf else []
    bounds += [f"above {above:g}"] if above > -math.inf else []
    bounds += [f"at most {most:g}"] if most < math.inf else []
    wanted = ("a whole number" if kind is int else "a number") + (" " + " and ".join(bounds) if bounds else "")

    def parse(text: str) -> Any:
        try:
            value = kind(text)
            valid = math.isfinite(value) and least <= value <= most and value > above
        except (ValueError, OverflowError):
            valid = False
        if not valid:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return parse


def builds_networks(parser: argparse.ArgumentParser, name: str, *, in_testing: bool = True) -> None:
    """Mark an option that networks are built by: a run that goes on can't change it, and test.py takes it over."""
    for marks in ("fixed", "restored") if in_testing else ("fixed",):
        getattr(parser, marks).add(name)


def not_changed(parser: argparse.ArgumentParser, *names: str) -> None:
    """Mark options that a run which goes on can't change, though no network is built by them."""
    parser.fixed.update(names)  # type: ignore[attr-defined]  # models know no parser of ours


def not_restored(parser: argparse.ArgumentParser, *names: str) -> None:
    """Mark options that test.py does not take from the run: the model's defaults for testing hold."""
    parser.restored.difference_update(names)  # type: ignore[attr-defined]


def withdraw(parser: argparse.ArgumentParser, *names: str) -> None:
    """Take back options that a model has no use for: with it, there are none of these names."""
    parser.withdraw(names)  # type: ignore[attr-defined]
