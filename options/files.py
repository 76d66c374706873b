"""Options on disk: a --config file, and the options.json of a run."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from util.errors import UserError, started_first
from util.files import atomic_write
from util.runs import manifest
from util.runs.provenance import provenance

OPTIONS = "options.json"
TEXT = "options.txt"
OF_THE_START = ("init_from", "init_partial", "epoch")  # of a run, whatever is given when it goes on
# Of one call, not of the run.
NOT_SAVED = ("is_train", "config", "continue_train", "overwrite", "force", "time_limit")


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options in a .yaml or .json file, by name. The options.json of a run will do as well.

    Also gives what the options.json of a run has besides (versions, the dataset's fingerprint); else nothing.
    """
    if not path.is_file():
        raise UserError(f"--config {path} does not exist")
    if path.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise UserError(f"--config {path}: expected a file ending in .yaml or .json")
    _refuse_damaged(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else _read_yaml(text)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--config {path} can't be read: {' '.join(str(error).split())}") from error
    run: dict[str, Any] = {}
    if isinstance(content, dict) and isinstance(content.get("options"), dict):
        run = _checked(content["run"]) if isinstance(content.get("run"), dict) else {}
        content = content["options"]
    if not isinstance(content, dict):
        raise UserError(f"--config {path}: expected names and values of options, such as n_epochs: 20")
    return {str(name).removeprefix("--"): value for name, value in content.items()}, run


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def save_run(folder: Path, opt: argparse.Namespace, as_text: str, fingerprint: Mapping[str, Any]) -> None:
    """Write options.json, which test.py reads, and the same for people in options.txt.

    options.json also has what else the result depends on: versions, the command, the dataset's fingerprint. A run that
    goes on keeps what it began with, and notes under "continued" with which versions and command it does.
    """
    options = {name: value for name, value in vars(opt).items() if name not in NOT_SAVED}
    now = provenance()
    run = {"dataroot": str(Path(opt.dataroot).resolve()), **now, "dataset": fingerprint}
    record = read_record(folder) if opt.continue_train else None
    if record is not None:
        options |= {name: record["options"][name] for name in OF_THE_START if name in record["options"]}
        began = record["run"]
        run |= {name: began[name] for name in ("versions", "command") if name in began}
        run["continued"] = [*began.get("continued", []), now]
    content = {OPTIONS: json.dumps({"options": options, "run": run}, indent=2) + "\n", TEXT: as_text + "\n"}
    encoded = {name: text.encode("utf-8", "backslashreplace") for name, text in content.items()}
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in encoded.items()}
    manifest.record(folder, sums, old_is_valid=True)
    for name, text in encoded.items():
        atomic_write(folder / name, text, durable=True)


def as_text(opt: argparse.Namespace, defaults: Mapping[str, Any]) -> str:
    """A line for each option, with its default where that is another."""
    lines = []
    for name, value in sorted(vars(opt).items()):
        changed = f"   [default: {defaults[name]}]" if name in defaults and defaults[name] != value else ""
        lines.append(f"{name:>20}: {value}{changed}")
    return "\n".join(lines)


def read_record(folder: Path) -> dict[str, Any] | None:
    """What options.json holds: "options", all resolved ones, and "run", what else there is; None if it is missing."""
    path = folder / OPTIONS
    _refuse_damaged(path)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        options, run = record["options"], record["run"]
        if isinstance(run, dict) and all(isinstance(options.get(name, ""), str) for name in ("model", "dataset_mode")):
            return {"options": dict(options), "run": _checked(run)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise UserError(f"{path} can't be read: restore it, or remove it and give the options of the networks by hand")


def _refuse_damaged(path: Path) -> None:
    if manifest.is_damaged(path):
        raise UserError(f"{path} is not as its run wrote it: restore it; {manifest.REMEDY}")


def _checked(run: Mapping[str, Any]) -> dict[str, Any]:
    """What an options.json says of a run, without what another program may have put in place of it."""
    versions, dataset = run.get("versions", {}), run.get("dataset", {})
    right = isinstance(versions, dict) and isinstance(dataset, dict) and isinstance(run.get("continued", []), list)
    right = right and all(
        isinstance(folder, dict) and {"files", "bytes"} <= folder.keys() for folder in dataset.values()
    )
    return dict(run) if right else {"dataroot": run.get("dataroot")}


def _dataroot(folder: Path) -> str | None:
    """The folder that a run was trained on; None where its options can't be read, which is another run's trouble."""
    try:
        record = read_record(folder)
    except UserError:
        return None
    return None if record is None else record["run"].get("dataroot")


def find_run(checkpoints: Path, dataroot: str, usual: str) -> str:
    """The name of the only run that was trained on that folder; of several, that of this name.

    Raises UserError if there is none, or several of other names.
    """
    folders = [path.parent for path in sorted(checkpoints.glob(f"*/{OPTIONS}"))]
    wanted = str(Path(dataroot).resolve())
    found = [folder.name for folder in folders if _dataroot(folder) == wanted]
    if len(found) == 1:
        return found[0]
    if usual in found:
        if started_first():
            names = ", ".join(found)
            print(f"note: --name {usual}, of several runs that were trained on {dataroot}: {names}", file=sys.stderr)
        return usual
    if found:
        raise UserError(f"several runs were trained on --dataroot {dataroot}: give one as --name: {', '.join(found)}")
    raise UserError(
        f"no run in --checkpoints_dir {checkpoints} was trained on --dataroot {dataroot}: {which_runs(checkpoints)}"
    )


def which_runs(checkpoints: Path) -> str:
    """The end of a sentence about a run that is not there: what to give as --name."""
    names = sorted(path.name for path in checkpoints.glob("*") if path.is_dir())
    if not names:
        return "there is no run at all yet, so train first"
    more = ", ..." if len(names) > 20 else ""
    return f"give --name (one of {', '.join(names[:20])}{more})"
