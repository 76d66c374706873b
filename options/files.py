"""Options on disk: a --config file, and the options.json of a run."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from util.arguments import Scope
from util.errors import UserError, is_main_by_environment
from util.files import atomic_write
from util.runs import manifest
from util.runs.provenance import provenance

OPTIONS = "options.json"
TEXT = "options.txt"


def read_config(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options in a .yaml or .json file, by name, and the "run" section if it is the options.json of a run.

    That section has the run's versions and the fingerprint of its dataset. Raises UserError for an unreadable file.
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
        raise UserError(f"--config {path}: must contain options and their values, such as n_epochs: 20")
    return {str(name).removeprefix("--"): value for name, value in content.items()}, run


def _read_yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(error) from error


def save_run(
    folder: Path,
    opt: argparse.Namespace,
    scopes: Mapping[str, Scope],
    as_text: str,
    fingerprint: Mapping[str, Any],
) -> None:
    """Write options.json, which resuming and testing read, and options.txt, the same for people.

    options.json also records versions, the command and the dataset's fingerprint. A resumed run keeps those it started
    with, and the options that are for a new run only; "continued" lists the versions and command of each resume.
    """
    unsaved = {name for name, scope in scopes.items() if not scope.saved} | {"is_train"}
    options = {name: value for name, value in vars(opt).items() if name not in unsaved}
    now = provenance(opt.device)
    run = {"dataroot": str(Path(opt.dataroot).resolve()), **now, "dataset": fingerprint}
    record = read_record(folder) if opt.continue_train else None
    if record is not None:
        starting = {name for name, scope in scopes.items() if scope.new_run_only and scope.saved}
        options |= {name: value for name, value in record["options"].items() if name in starting}
        first = record["run"]
        run |= {name: first[name] for name in ("versions", "command") if name in first}
        run["continued"] = [*first.get("continued", []), now]
    content = {OPTIONS: json.dumps({"options": options, "run": run}, indent=2) + "\n", TEXT: as_text + "\n"}
    encoded = {name: text.encode("utf-8", "backslashreplace") for name, text in content.items()}
    sums = {name: hashlib.sha256(text).hexdigest() for name, text in encoded.items()}
    manifest.record(folder, sums, old_is_valid=True)
    for name, text in encoded.items():
        atomic_write(folder / name, text, durable=True)


def as_text(opt: argparse.Namespace, defaults: Mapping[str, Any]) -> str:
    """One line for each option, with its default if the value differs from it."""
    lines = []
    for name, value in sorted(vars(opt).items()):
        changed = f"   [default: {defaults[name]}]" if name in defaults and defaults[name] != value else ""
        lines.append(f"{name:>20}: {value}{changed}")
    return "\n".join(lines)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The content of options.json: "options", all resolved ones, and "run", see save_run; None if it is missing.

    Raises UserError if it is damaged.
    """
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
    raise UserError(f"{path} can't be read: restore it, or delete it and give the options of the networks as flags")


def _refuse_damaged(path: Path) -> None:
    if manifest.is_damaged(path):
        raise UserError(f"{path} does not match the checksum in manifest.json: restore it; {manifest.REMEDY}")


def _checked(run: Mapping[str, Any]) -> dict[str, Any]:
    """The "run" section of an options.json, reduced to the dataroot if another program has changed its structure."""
    versions, dataset = run.get("versions", {}), run.get("dataset", {})
    valid = isinstance(versions, dict) and isinstance(dataset, dict) and isinstance(run.get("continued", []), list)
    valid = valid and all(
        isinstance(folder, dict) and {"files", "bytes"} <= folder.keys() for folder in dataset.values()
    )
    return dict(run) if valid else {"dataroot": run.get("dataroot")}


def dataroot_of(folder: Path) -> str | None:
    """The folder that a run was trained on, as an absolute path; None if the run does not record it."""
    record = read_record(folder)
    dataroot = record["run"].get("dataroot") if record else None
    return dataroot if isinstance(dataroot, str) else None


def _was_trained_on(folder: Path, dataroot: str) -> bool:
    try:
        return dataroot_of(folder) == dataroot
    except UserError:  # another run's damaged options.json is not this command's concern
        return False


def find_run(checkpoints: Path, dataroot: str, default: str) -> str:
    """The name of the only run that was trained on that folder; of several, the one named `default`.

    Raises UserError if no run was trained on it, or several and none of them has that name.
    """
    folders = [path.parent for path in sorted(checkpoints.glob(f"*/{OPTIONS}"))]
    wanted = str(Path(dataroot).resolve())
    found = [folder.name for folder in folders if _was_trained_on(folder, wanted)]
    if len(found) == 1:
        return found[0]
    if default in found:
        if is_main_by_environment():
            names = ", ".join(found)
            print(f"note: testing --name {default}; runs trained on {dataroot}: {names}", file=sys.stderr)
        return default
    if found:
        raise UserError(
            f"several runs were trained on --dataroot {dataroot}: choose one with --name: {', '.join(found)}"
        )
    for parent in Path(wanted).parents[:2]:
        if any(_was_trained_on(folder, str(parent)) for folder in folders):
            near = os.path.relpath(parent) if not Path(dataroot).is_absolute() else str(parent)
            raise UserError(f"no run was trained on --dataroot {dataroot}: use --dataroot {shlex.quote(near)}")
    if not Path(dataroot).exists():
        raise UserError(f"--dataroot {dataroot} does not exist: expected a folder that contains testA and testB")
    raise UserError(
        f"no run in --checkpoints_dir {checkpoints} was trained on --dataroot {dataroot}: {which_runs(checkpoints)}"
    )


def require_run(checkpoints: Path, name: str) -> None:
    """Raise UserError if there is no such run."""
    if not (checkpoints / name).is_dir():
        raise UserError(f"--name {name}: --checkpoints_dir {checkpoints} has no such run: {which_runs(checkpoints)}")


def which_runs(checkpoints: Path) -> str:
    """The end of a sentence about a missing run: the names to choose from."""
    names = sorted(path.name for path in checkpoints.glob("*") if path.is_dir())
    if not names:
        return "there are no runs yet, so train first"
    more = ", ..." if len(names) > 20 else ""
    return f"choose one with --name: {', '.join(names[:20])}{more}"
