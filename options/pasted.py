"""Characters of a pasted command that a shell passes on, and that are not what was meant: dashes, spaces, quotes."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

# What text processors and web pages show instead of hyphens, spaces and straight quotes.
DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
SPACES = "\u00a0\u2002\u2003\u2007\u2009\u202f\u3000"
INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
QUOTES = "\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb"

PASTED = "as pasted from a web page"
BACKSLASH = "a backslash is followed by a space: it must be the last character of its line"


def retype(argv: Sequence[str], flags: Mapping[str, bool], known: Collection[str]) -> tuple[list[str], list[str]]:
    """A command line as a shell needs it, and what was wrong with it.

    `flags` are all options, and whether a value must follow them; `known` are further names that may follow hyphens.
    """
    words: list[str] = []
    reasons: list[str] = []
    expects_value = False
    for word in argv:
        meant, reason = _as_flag(word, flags, known)
        if not meant:
            words += [] if reason else [word]
            expects_value = False
        elif expects_value and meant[0].partition("=")[0] not in flags:
            words.append(_without_quotes(word, reasons))
            expects_value = False
            continue
        else:
            first, equals, value = meant[0].partition("=") if meant[0].startswith("-") else ("", "", meant[0])
            words += [first + equals + _without_quotes(value, reasons), *meant[1:]]
            expects_value = len(meant) == 1 and not equals and flags.get(first, False)
        reasons += [reason] if reason and reason not in reasons else []
    return words, reasons


def _as_flag(word: str, flags: Mapping[str, bool], known: Collection[str]) -> tuple[list[str], str]:
    """The word or words that one word was meant as, and why; no words for one that only separates others."""
    text = word.translate(dict.fromkeys(map(ord, INVISIBLE))).strip(SPACES + " \t\r\n")
    if not text:
        return ([], BACKSLASH) if word else ([""], "")
    match = re.fullmatch(rf"([-{DASHES}]+)([^\W\d][\w-]*)(.*)", text, re.DOTALL)
    if match is None or text == "-h":
        return [word], ""
    hyphens, name, rest = match.groups()
    flag = f"--{name}"
    if hyphens.strip("-"):
        reason = f"options begin with two hyphens, not with {hyphens!r}, {PASTED}"
    elif hyphens != "--":
        if flag not in flags and name not in known:
            return [word], ""
        reason = f"options begin with two hyphens, not with {hyphens!r}"
    elif word != text and word[0] in " \t\r\n":
        reason = BACKSLASH
    elif word != text or rest[:1] in tuple(SPACES):
        reason = f"a special space or an invisible character is next to {flag}, {PASTED}"
    else:
        return [word], ""
    parts = [part for part in re.split(f"[{SPACES} ]+", rest, maxsplit=1) if part] if rest[:1] != "=" else []
    return ([f"{flag}{rest}"] if rest[:1] == "=" else [flag, *parts]), reason


def _without_quotes(value: str, reasons: list[str]) -> str:
    bare = value.strip(QUOTES)
    if bare == value or Path(value).exists():
        return value
    reasons += [reason] if (reason := f"quotes are straight, not curly as in {value}, {PASTED}") not in reasons else []
    return bare


def changes_a_value(argv: Sequence[str]) -> bool:
    """Whether a value has curly quotes or an equals sign around it, which argparse accepts as part of it."""
    values = [word.partition("=")[2] if word.startswith("--") else word for word in argv]
    return any(
        value[:1] == "=" or (value[:1] in tuple(QUOTES) and value[-1:] in tuple(QUOTES) and not Path(value).exists())
        for value in values
    )
