"""Every option with its default and scope, pinned in options.txt: a change of either has to be seen.

After an intended change: python -m tests.options.test_snapshot
"""

from __future__ import annotations

import difflib
from pathlib import Path

from data import DATASETS
from models import MODELS
from options import TestOptions, TrainOptions
from options.base_options import BaseOptions
from util.arguments import ScopedParser

SNAPSHOT = Path(__file__).with_name("options.txt")


def rows(parser: ScopedParser) -> dict[str, str]:
    """By name: default and scope."""
    scopes = parser.scopes()
    return {name: f"{name} = {parser.get_default(name)!r} ({scopes[name].name})" for name in parser.options()}


def changes(title: str, parser: ScopedParser, before: dict[str, str]) -> list[str]:
    """What a model or dataset adds, changes and withdraws."""
    after = rows(parser)
    lines = [f"+ {row}" for name, row in after.items() if before.get(name) != row]
    return ["", title, *lines, *(f"- {name}" for name in before if name not in after)]


def snapshot() -> str:
    lines: list[str] = []
    programs: list[tuple[str, BaseOptions]] = [("train.py", TrainOptions()), ("test.py", TestOptions())]
    for program, options in programs:
        common = rows(options._base_parser(add_help=False))
        lines += [program, *(f"  {row}" for row in common.values())]
        for registry in (MODELS, DATASETS):
            for name in registry.names():
                found = registry.options(name)
                if getattr(found, "trainable", True) or not options.is_train:
                    parser = options._base_parser(add_help=False)
                    found.add_options(parser, options.is_train)
                    lines += changes(f"{program} {registry.option} {name}", parser, common)
        lines.append("")
    return "\n".join(lines)


def test_options_are_as_pinned() -> None:
    difference = list(
        difflib.unified_diff(SNAPSHOT.read_text().splitlines(), snapshot().splitlines(), lineterm="", n=0)
    )
    mend = "options changed; if that is intended: python -m tests.options.test_snapshot"
    assert not difference, "\n".join([mend, *difference])


if __name__ == "__main__":
    SNAPSHOT.write_text(snapshot())
