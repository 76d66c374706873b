"""Models and datasets of users, and runs, of earlier versions keep working."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import ROOT, SMALL, Command

MODEL = "tests.fixtures.templates.old_model:TemplateModel"
DATASET = "tests.fixtures.templates.old_dataset:TemplateDataset"


def test_templates_of_before_train_and_test(command: Command, tmp_path: Path) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    images = ROOT / "tests" / "fixtures" / "format2" / "images"
    own = ["--dataroot", images, "--name", "own", "--model", MODEL, "--dataset_mode", DATASET]
    done = command("train.py", *own, *SMALL, "--display_id", "0", "--phase", "trainA", "--pool_size", "2")
    assert "models.losses is now models.objectives.losses" in done.stderr
    command("test.py", *own, "--phase", "testA", "--num_threads", "0")
    assert list((tmp_path / "results" / "own").glob("*/images/*_fake_B.png"))
