"""recipes/: files for --config. train.py reads them, and names one when a run has only defaults."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from options import TrainOptions
from options.train_options import RECIPE
from tests.conftest import write_tiles

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").iterdir())
DEFAULT = "# the default"  # of a value that a recipe states although it is the default
NOTE = "note: training with the defaults, those of 2017; recommended: --config {}\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_tiles(tmp_path / "photos" / "trainA", 1)
    return tmp_path


def test_there_are_recipes() -> None:
    assert {"recipes/classic.yaml", RECIPE} <= {f"recipes/{path.name}" for path in RECIPES}
    assert all(path.suffix == ".yaml" for path in RECIPES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    comment = re.match(r"(?:#.*\n)+", text)
    assert comment and [word for word in ("# For: ", "# Evidence: ", "# Cost: ") if word not in comment[0]] == []
    opt = vars(TrainOptions().parse(["--dataroot", "photos", "--config", str(path)]))
    usual = vars(TrainOptions().parse(["--dataroot", "photos"]))
    values = yaml.safe_load(text)
    assert values and {name: opt[name] for name in values} == values
    same = {name for name in values if opt[name] == usual[name]}
    if path.stem == "classic":
        assert same == values.keys()
    else:
        assert same == {name for name in values if re.search(rf"^{name}: .*{DEFAULT}", text, re.MULTILINE)}
        assert len(same) < len(values)


def notes(argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What train.py prints on stderr when a run with this command line starts."""
    options = TrainOptions()
    opt = options.parse(argv.split())
    capsys.readouterr()  # other notes, on the command line
    options.print_notes(opt, {})
    return capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    ["", "--name first --print_freq 10 --num_threads 2 --device cpu", "--overwrite --val_fraction 0.1 --verbose"],
)
def test_a_run_with_only_defaults_names_the_recipe(
    flags: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # From another folder, the path leads to the file all the same.
    printed = notes(f"--dataroot photos {flags}", capsys)
    path = printed.removeprefix(NOTE.split("{")[0]).strip()
    assert printed == NOTE.format(path) and Path(path).samefile(ROOT / RECIPE)
    monkeypatch.setattr("util.command.ROOT", Path.cwd())
    assert notes(f"--dataroot photos {flags}", capsys) == NOTE.format(RECIPE)
    monkeypatch.setenv("RANK", "1")
    assert notes(f"--dataroot photos {flags}", capsys) == ""


@pytest.mark.parametrize(
    "flags",
    ["--ngf 32", "--ngf 64", "--model cut", "--lambda_identity 0", "--n_epochs 3", "--config own.yaml"],
)
def test_a_run_with_options_of_its_own_names_none(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.yaml").write_text("print_freq: 50\n")
    assert notes(f"--dataroot photos {flags}", capsys) == ""


def test_a_resumed_run_names_none(capsys: pytest.CaptureFixture[str]) -> None:
    options = TrainOptions()
    opt = options.parse(["--dataroot", "photos"])
    folder = Path(opt.checkpoints_dir, opt.name)
    folder.mkdir(parents=True)
    options.save(opt, folder, {})
    assert notes("--dataroot photos --continue_train", capsys) == ""
