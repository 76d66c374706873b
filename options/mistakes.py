"""Mistyped commands: which words are wrong, and the command that was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data import DATASETS
from models import MODELS
from options import pasted
from options.earlier_names import EARLIER, OUTPUT, VALUES, Earlier, normalized
from util.command import flag as with_value
from util.command import script_command
from util.registry import Catalog

SWITCHES = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
PATHS = ("--dataroot", "--config", "--init_from", "--checkpoints_dir", "--results_dir", "--cache_dir")
CONTINUATIONS = ("\\", "^", "`")  # of a line, in different shells

Actions = Mapping[str, argparse.Action]


@dataclass
class Correction:
    """A corrected command line, and what was wrong; `is_complete` unless a mistake has no correction."""

    argv: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    is_complete: bool = True

    def replace(self, reason: str, *words: str) -> None:
        """Note a mistake, and the words that replace it."""
        self.argv += words
        self.reasons += [reason] if reason not in self.reasons else []

    def give_up(self, reason: str) -> None:
        """Note a mistake without a correction."""
        self.reasons.append(reason)
        self.is_complete = False


class Corrector:
    """Finds the mistakes in a command line of train.py or test.py."""

    def __init__(self, script: str, actions: Actions, other_script: str, other_actions: Actions) -> None:
        """`actions` are the options, by flag, of a script with all its models and datasets."""
        self.script, self.actions, self.other_script, self.other_actions = script, actions, other_script, other_actions

    def explain(self, argv: Sequence[str]) -> str:
        """A sentence with all mistakes and, if it is known, the command to type; empty if no mistake is found."""
        done = self.correct(argv)
        if not done.reasons:
            return ""
        remedy = f"; type: {script_command(self.script, done.argv)}" if done.is_complete else ""
        return "; ".join(done.reasons) + remedy

    def correct(self, argv: Sequence[str]) -> Correction:
        """The corrected command line, and what was wrong with it."""
        flags = {flag: action.nargs is None for flag, action in self.actions.items()}
        words, reasons = pasted.retype(argv, flags, EARLIER.keys())
        done = Correction(reasons=reasons)
        self.checkpoints = Path(value_of("--checkpoints_dir", words) or "checkpoints")
        while words:
            word = words.pop(0)
            flag, equals, value = word.partition("=")
            if flag in self.actions:
                self._known(flag, value if equals else None, words, done)
            elif word.startswith("--") and len(word) > 2:
                self._unknown(flag, value if equals else None, words, done)
            else:
                self._stray(word, words, done)
        return done

    # Options of this program.

    def _known(self, flag: str, value: str | None, words: list[str], done: Correction) -> None:
        action = self.actions[flag]
        if action.nargs == 0:
            self._switch(flag, value, words, done)
            return
        if value is None and words and words[0].startswith("="):  # --name = x, --name =x
            value = words.pop(0)[1:]
            done.replace("an equals sign has no spaces around it")
        if value == "" and words and not words[0].startswith("-"):  # --name= x
            value = words.pop(0)
            done.replace("an equals sign has no spaces around it")
        elif value is None and words and not words[0].startswith("--"):
            value = words.pop(0)
        if value is None:
            done.argv.append(flag)  # without a value, or the parser reports that it is missing
        else:
            self._value(flag, value, words, done)

    def _switch(self, flag: str, value: str | None, words: list[str], done: Correction) -> None:
        """An option without a value, which may have been given one."""
        if value is None and words and words[0].lower() in SWITCHES:
            value = words.pop(0)
        if value is None:
            done.argv.append(flag)
        elif value.lower() not in SWITCHES:
            done.give_up(f"{flag} takes no value, not {value!r}")
        elif SWITCHES[value.lower()]:
            done.replace(f"{flag} takes no value", flag)
        else:
            done.replace(f"{flag} takes no value: leave it out to switch it off")

    def _value(self, flag: str, value: str, words: list[str], done: Correction) -> None:
        action = self.actions[flag]
        if meant := self._meant(flag, value):
            new = [flag, *meant]
            verb = "written" if normalized(value) == normalized(meant[0]) else "called"
            done.replace(f"{flag} {value} is {verb} {' '.join(new)} here", *new)
            return
        if flag == "--gpu_ids" and words and words[0].isdecimal():
            numbers = [value]
            while words and words[0].isdecimal():
                numbers.append(words.pop(0))
            value = ",".join(numbers)
            done.replace("the numbers of --gpu_ids are separated by commas, without spaces")
        is_text = action.type is None and action.choices is None
        extra = 0
        while is_text and extra < len(words) and self._belongs_to(flag, value, words[extra]):
            if flag != "--dataroot" and self._stands_alone(words[extra], words, done):
                break
            extra += 1
        if extra:
            value = " ".join([value, *words[:extra]])
            del words[:extra]
            done.replace("a value with spaces needs quotes")
        done.argv += with_value(flag[2:], value)
        if not is_text and words and not words[0].startswith("-") and not self._stands_alone(words[0], words, done):
            done.give_up(f"unexpected argument {words[0]!r}: each value must follow its flag, and {flag} takes one")
            while words and not words[0].startswith("-"):
                words.pop(0)

    def _stands_alone(self, word: str, words: list[str], done: Correction) -> bool:
        """Whether a word after a complete option has a meaning of its own: a run, a file, the images."""
        return bool(self._flag_for(word, [])) or (Path(word).is_dir() and not _has_images(done.argv + words))

    def _belongs_to(self, flag: str, value: str, word: str) -> bool:
        """Whether a word is part of the value before it, whose spaces were not quoted."""
        if word.startswith("-") or word in CONTINUATIONS or self._flag_for(word, []):
            return False
        return not (flag in PATHS and Path(value).exists() and not Path(f"{value} {word}").exists())

    def _meant(self, flag: str, value: str) -> Sequence[str]:
        """The value, with further flags, that a value of earlier code or in another spelling stands for."""
        name, action = flag[2:], self.actions[flag]
        if name in ("model", "dataset_mode"):
            choices = (MODELS if name == "model" else DATASETS).names()
        else:
            catalog = getattr(action.type, "__self__", None)
            choices = list(action.choices or (catalog if isinstance(catalog, Catalog) else ()))
        if value in choices or ":" in value or not (choices or name == "device"):
            return ()
        same = [choice for choice in choices if normalized(choice) == normalized(value)]
        return same[:1] or VALUES.get(name, {}).get(value.lower()) or VALUES.get(name, {}).get(normalized(value), ())

    # Other options.

    def _unknown(self, flag: str, value: str | None, words: list[str], done: Correction) -> None:
        """An option that this program does not have."""
        same = [known for known in self.actions if normalized(known) == normalized(flag)]
        if same and self.actions[same[0]].nargs == 0:
            done.replace(f"{flag} is written {same[0]} here")
            words.insert(0, same[0])
        elif same:
            typed, new = _pair(flag, value, words), _pair(same[0], value, words)
            done.replace(f"{typed} is written {new} here")
            words.insert(0, same[0] if value is None else f"{same[0]}={value}")
        elif flag in self.other_actions:
            done.give_up(f"{flag} is an option of {self.other_script}, not of {self.script}")
            self._skip_value(self.other_actions[flag].nargs != 0, value, words)
        elif earlier := self._earlier(flag):
            self._replace_earlier(flag, earlier, value, words, done)
        else:
            done.argv.append(flag if value is None else f"{flag}={value}")
            if value is None and words and not words[0].startswith("-"):
                done.argv.append(words.pop(0))

    @staticmethod
    def _skip_value(takes_value: bool, value: str | None, words: list[str]) -> None:
        if takes_value and value is None and words and not words[0].startswith("--"):
            words.pop(0)

    def _earlier(self, flag: str) -> Earlier | None:
        name = normalized(flag)
        if name in OUTPUT:
            new = "checkpoints_dir" if self.script == "train.py" else "results_dir"
            return Earlier(lambda value: [f"--{new}", value])
        return EARLIER.get(name)

    def _replace_earlier(
        self, flag: str, earlier: Earlier, value: str | None, words: list[str], done: Correction
    ) -> None:
        is_switch = not earlier.has_value
        if value is None and words and not words[0].startswith("--"):
            value = words.pop(0) if not is_switch or words[0].lower() in SWITCHES else None
        new = list(earlier.new(value or ""))
        typed = flag if value is None else f"{flag} {value}"
        if is_switch and value is not None and not SWITCHES.get(value.lower(), True):
            done.replace(f"{typed} is not needed here")
        elif not new:
            done.replace(
                f"{typed} has no counterpart here ({earlier.why})" if earlier.why else f"{typed} is not needed here"
            )
        elif foreign := [name for name in new if name.startswith("--") and name not in self.actions]:
            where = f", an option of {self.other_script}" if foreign[0] in self.other_actions else ""
            done.give_up(f"{typed} is called {' '.join(new).strip()} here{where}")
        elif not is_switch and not value:
            done.give_up(f"{flag} is called {' '.join(name for name in new if name.startswith('--'))} here")
        else:
            if len(new) == 2 and (meant := self._meant(new[0], new[1])):
                new = [new[0], *meant]
            done.replace(f"{typed} is called {' '.join(new)} here", *new)

    # Words that follow no option.

    def _stray(self, word: str, words: list[str], done: Correction) -> None:
        joined = [" ".join([word, *words[: count + 1]]) for count in range(len(words))]
        if word.endswith(".py") or word in ("python", "python3"):
            done.replace(f"{word!r} follows no option")
        elif word in CONTINUATIONS:
            done.replace(f"{word} is not the last character of its line")
        elif word == "--" and words and f"--{words[0]}" in self.actions:
            words[0] = f"--{words[0]}"
            done.replace("no space follows the hyphens of an option")
        elif new := self._flag_for(word, words):
            done.replace(f"{word!r} follows no option", *new)
        elif not Path(word).exists() and any(Path(text).is_dir() for text in joined):
            count = next(count for count, text in enumerate(joined) if Path(text).is_dir())
            words[: count + 1] = [joined[count]]
            done.replace("a value with spaces needs quotes")
        elif word.startswith("-"):
            done.give_up(f"unknown option {word}: options have two hyphens and a full name; --help lists all options")
            self._skip_value(True, None, words)
        elif not _has_images([*done.argv, *words]):
            done.replace(f"{word!r} follows no option", "--dataroot", word)
        else:
            done.give_up(f"unexpected argument {word!r}: each value must follow its flag")

    def _flag_for(self, word: str, words: list[str]) -> list[str]:
        """The words that a word alone stands for, by what it is: an option without hyphens, a run, a file."""
        name, equals, value = word.partition("=")
        path = Path(word)
        if f"--{name}" in self.actions and (equals or not path.exists()) and (value or not equals):
            return [f"--{name}", value] if equals else [f"--{name}", *self._next_value(f"--{name}", words)]
        if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
            return ["--config", word]
        if path.suffix == ".pth" and path.is_file():
            return ["--init_from", word] if "--init_from" in self.actions else []
        if (path / "options.json").is_file():
            where = [] if path.parent == self.checkpoints else ["--checkpoints_dir", str(path.parent)]
            return ["--name", path.name, *where]
        if (self.checkpoints / word / "options.json").is_file():
            return ["--name", word]
        return []

    def _next_value(self, flag: str, words: list[str]) -> list[str]:
        takes_value = self.actions[flag].nargs is None and words and not words[0].startswith("-")
        return [words.pop(0)] if takes_value else []


def _has_images(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == "--dataroot" for word in words)


def _pair(flag: str, value: str | None, words: Sequence[str]) -> str:
    """An option with its value, for a message."""
    following = words[0] if value is None and words and not words[0].startswith("-") else value
    return f"{flag} {following}" if following else flag


def value_of(flag: str, words: Sequence[str]) -> str | None:
    """The value of an option in a command line, if it is given."""
    for number, word in enumerate(words):
        if word == flag:
            return words[number + 1] if number + 1 < len(words) else None
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
    return None
