"""Validation in real trainings: it changes nothing, is resumed exactly, chooses the best checkpoint, and can stop."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import test as test_program
import train
from tests.conftest import write_tiles
from tests.faults.lab import compare, differences
from util.errors import UserError
from util.evaluation.metrics import find_metric
from util.runs.checkpoint import Checkpoint
from util.runs.weights import read_file
from util.runtime.stop_signal import StopSignal

COMMON = [
    *("--netG", "resnet_6blocks", "--ngf", "2", "--ndf", "2", "--netD", "n_layers", "--n_layers_D", "2"),
    *("--load_size", "20", "--crop_size", "16", "--n_epochs", "3", "--n_epochs_decay", "1", "--pool_size", "3"),
    *("--seed", "3", "--device", "cpu", "--num_threads", "0", "--display_id", "0", "--print_freq", "1"),
    *("--norm", "batch", "--dropout", "--ema_decay", "0.5", "--extractor", "none", "--metrics", "swd,edges"),
]
Run = Callable[..., int]


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    return write_domains(tmp_path / "tiles")


def write_domains(root: Path) -> Path:
    for name, count in (("trainA", 4), ("trainB", 3), ("valA", 3), ("valB", 2), ("testA", 2), ("testB", 2)):
        write_tiles(root / name, count, width=24, height=20)
    return root


@pytest.fixture
def run(tiles: Path, tmp_path: Path) -> Run:
    return runner(tiles, tmp_path / "runs")


def runner(tiles: Path, runs: Path) -> Run:
    """Train in this process; `stop_after`: how many times the stop signal is read before it is set."""

    def start(name: str, *flags: str, stop_after: int | None = None, common: list[str] = COMMON) -> int:
        asked = 0

        def requested(self: StopSignal) -> bool:
            nonlocal asked
            asked += 1
            return stop_after is not None and asked >= stop_after

        where = ["--dataroot", str(tiles), "--checkpoints_dir", str(runs), "--name", name]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["train.py", *where, *common, *flags])
            patch.setattr(StopSignal, "requested", property(requested))
            return train.main()

    return start


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The images of a run that is not stopped, and its folder."""
    place = tmp_path_factory.mktemp("undisturbed")
    tiles = write_domains(place / "tiles")
    assert runner(tiles, place / "runs")("whole", "--val_freq", "1") == 0
    return tiles, place / "runs" / "whole"


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_validation_changes_no_weight_and_no_random_state(run: Run, tmp_path: Path) -> None:
    assert run("with", "--val_freq", "1") == 0
    assert run("without", "--val_freq", "0") == 0
    states = [read_file(tmp_path / "runs" / name / "latest_state.pt")["objects"] for name in ("with", "without")]
    assert states[0]["metrics"] != states[1]["metrics"]
    for state in states:
        del state["metrics"], state["progress"], state["losses"]  # the losses have seconds
    assert differences(*states, "state") == []
    assert not (tmp_path / "runs" / "without" / "metrics.jsonl").exists()
    assert [record["epoch"] for record in records(tmp_path / "runs" / "with")] == [1, 2, 3, 4]


@pytest.mark.xdist_group("undisturbed")
@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 7, 8, 9, 12, 16])
def test_a_stopped_run_is_resumed_exactly(stop_after: int, undisturbed: tuple[Path, Path], tmp_path: Path) -> None:
    """Stops are read after each of 4 steps, after each of 3 batches of validation, and after the validation."""
    tiles, whole = undisturbed
    run, stopped = runner(tiles, tmp_path / "runs"), tmp_path / "runs" / "stopped"
    assert run("stopped", "--val_freq", "1", stop_after=stop_after) == 0  # the exit code of no signal
    assert run("stopped", "--continue_train") == 0
    assert compare(whole, stopped) == []
    assert (whole / "metrics.jsonl").read_bytes() == (stopped / "metrics.jsonl").read_bytes()
    assert json.loads((whole / "best.json").read_text()) == json.loads((stopped / "best.json").read_text())
    for file in whole.glob("best_net_*.pth"):
        torch.testing.assert_close(read_file(file), read_file(stopped / file.name), rtol=0, atol=0)


def test_the_figures_are_those_of_test_py_with_eval(
    run: Run, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("mine", "--val_freq", "2") == 0
    last = records(tmp_path / "runs" / "mine")[-1]
    where = ["--dataroot", str(tiles), "--checkpoints_dir", str(tmp_path / "runs"), "--name", "mine"]
    flags = ["--phase", "val", "--eval", "--results_dir", str(tmp_path / "results"), "--device", "cpu"]
    flags += ["--extractor", "none", "--metrics", "swd,edges", "--num_threads", "0"]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["test.py", *where, *flags])
        assert test_program.main() == 0
    tested = json.loads((tmp_path / "results" / "mine" / "val_latest" / "metrics.json").read_text())["scores"]
    for visual in ("fake_A", "fake_B"):
        assert tested[visual][find_metric("swd").key] == last[f"{visual} SWD x1000 (128 px)"]
        assert tested[visual][find_metric("edges").key] == last[f"{visual} edge distance"]
    # The shorter folder has two images: a third batch repeats one, which counts once.
    assert (tested["fake_B"]["images"], tested["fake_A"]["images"]) == (3, 2)


def test_the_best_checkpoint_is_that_of_the_best_record(run: Run, tmp_path: Path) -> None:
    assert run("mine", "--val_freq", "1", "--save_epoch_freq", "1") == 0
    folder = tmp_path / "runs" / "mine"
    best = min(records(folder), key=lambda record: record["mean SWD x1000 (128 px)"])
    described = json.loads((folder / "best.json").read_text())
    assert (described["epoch"], described["value"]) == (best["epoch"], best["mean SWD x1000 (128 px)"])
    assert described["rule"] == "lowest mean SWD x1000 (128 px) over all directions"
    assert described["images"] == {"fake_A": 2, "fake_B": 3} and described["extractor"] == "none"
    values = [best[f"{visual} SWD x1000 (128 px)"] for visual in ("fake_A", "fake_B")]
    assert best["mean SWD x1000 (128 px)"] == pytest.approx(sum(values) / 2)
    for network in ("G_A", "G_B", "D_A", "D_B"):
        saved = read_file(folder / f"best_net_{network}.pth")
        torch.testing.assert_close(saved, read_file(folder / f"{best['epoch']}_net_{network}.pth"), rtol=0, atol=0)


def test_test_py_names_the_checkpoint_and_compares_best_and_last(
    run: Run, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mine", "--val_freq", "2") == 0
    where = ["--dataroot", str(tiles), "--checkpoints_dir", str(tmp_path / "runs"), "--name", "mine"]
    flags = [
        "--results_dir",
        str(tmp_path / "results"),
        "--extractor",
        "none",
        "--num_threads",
        "0",
        "--metrics",
        "swd",
    ]
    printed = {}
    for epoch in ("latest", "best"):
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["test.py", *where, *flags, "--epoch", epoch])
            assert test_program.main() == 0
        printed[epoch] = capsys.readouterr().out
    assert "last checkpoint" in printed["latest"] and "for comparison" not in printed["latest"]
    best = json.loads((tmp_path / "runs" / "mine" / "best.json").read_text())
    assert f"best checkpoint (epoch {best['epoch']}), chosen on validation images: lowest mean SWD" in printed["best"]
    assert "for comparison, the last checkpoint" in printed["best"] and "not comparable" not in printed["best"]
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["test.py", *where, *flags, "--epoch", "best", "--phase", "val"])
        assert test_program.main() == 0
    assert "tested on the images that it was chosen on, not comparable" in capsys.readouterr().out
    os.utime(tmp_path / "runs" / "mine" / "latest_net_G_A.pth", (2e9, 2e9))  # trained further since its test
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["test.py", *where, *flags, "--epoch", "best"])
        assert test_program.main() == 0
    assert "for comparison" not in capsys.readouterr().out
    page = (tmp_path / "results" / "mine" / "test_best" / "index.html").read_text()
    assert "chosen on validation images: lowest mean SWD x1000 (128 px) over all directions" in page


def described(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "best.json").read_text()))


def test_the_best_checkpoint_is_compared_with_the_one_on_disk(run: Run, tmp_path: Path) -> None:
    """After a rule is changed and changed back, the weights on disk are not those of the first rule's best record."""
    # A rate of almost 0: by each rule, the first record stays the best one.
    folder = tmp_path / "runs" / "mine"
    common = [*COMMON, "--norm", "instance", "--lr", "1e-30", "--n_epochs", "2", "--n_epochs_decay", "0"]
    assert run("mine", "--val_freq", "1", "--best_metric", "edges", "--n_epochs", "1", common=common) == 0
    assert run("mine", "--continue_train", "--best_metric", "swd", common=common) == 0
    assert described(folder)["epoch"] == 2
    assert run("mine", "--continue_train", "--best_metric", "edges", "--n_epochs", "3", common=common) == 0
    assert described(folder)["epoch"] == 3 and described(folder)["metric"] == "edge distance"


def test_a_run_that_is_no_longer_validated_keeps_its_curves(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common, folder = [*COMMON, "--n_epochs_decay", "0"], tmp_path / "runs" / "mine"
    assert run("mine", "--val_freq", "1", "--n_epochs", "1", common=common) == 0
    assert run("mine", "--continue_train", "--val_freq", "0", "--n_epochs", "2", common=common) == 0
    assert "note: this run was validated so far, and is not from here on" in capsys.readouterr().err
    assert "<summary>Validation</summary>" in (folder / "web" / "index.html").read_text()
    assert described(folder)["epoch"] == 1


def test_other_validation_images_choose_anew(
    run: Run, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common, folder = [*COMMON, "--n_epochs_decay", "0", "--lr", "1e-30", "--norm", "instance"], tmp_path / "runs/mine"
    flags = ["--val_freq", "1", "--early_stop", "2", "--best_metric", "swd"]
    assert run("mine", *flags, "--n_epochs", "2", common=common) == 0
    assert described(folder)["epoch"] == 1
    write_tiles(tiles / "valB", 5, width=24, height=20)
    capsys.readouterr()
    assert run("mine", *flags, "--continue_train", "--n_epochs", "4", common=common) == 0
    out = capsys.readouterr()
    assert "the validation images are not those of the earlier validations" in out.out + out.err
    assert described(folder)["epoch"] == 3 and described(folder)["images"] == {"fake_A": 5, "fake_B": 3}
    assert "early stop" not in out.out + out.err and [record["epoch"] for record in records(folder)] == [1, 2, 3, 4]


def test_a_best_checkpoint_that_could_not_be_saved_is_not_the_best(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full in the first validation: its weights are lost, so a later checkpoint has to be the best."""
    whole, folder = Checkpoint.write, tmp_path / "runs" / "mine"
    failed: list[int] = []

    def write(self: Checkpoint, states: Any) -> None:
        if states["progress"]["epoch"] == 2 and not failed:  # saved after the first epoch
            failed.append(1)
            raise OSError(28, "No space left on device")
        whole(self, states)

    monkeypatch.setattr(Checkpoint, "write", write)
    common = [*COMMON, "--norm", "instance", "--lr", "1e-30"]  # every validation has the same score
    assert run("mine", "--val_freq", "1", "--best_metric", "swd", common=common) == 0
    assert failed and described(folder)["epoch"] == 2 and (folder / "best_net_G_A.pth").is_file()


def test_early_stopping(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A rate of almost 0 changes no figure: the first validation stays the best."""
    common = [*COMMON, "--norm", "instance"]  # without running statistics
    flags = ["--val_freq", "1", "--early_stop", "2", "--lr", "1e-30", "--best_metric", "swd"]
    assert run("mine", *flags, common=common) == 0
    folder = tmp_path / "runs" / "mine"
    out = capsys.readouterr()
    assert [record["epoch"] for record in records(folder)] == [1, 2, 3]
    assert "early stop after epoch 3: 2 validations without a lower mean SWD x1000 (128 px) than that of epoch 1" in (
        out.out + out.err
    )
    assert "trained 3 epochs" in out.out and (folder / "3_net_G_A.pth").is_file()
    assert run("mine", "--continue_train", common=common) == 0
    assert "trained 3 epochs" in capsys.readouterr().out and len(records(folder)) == 3
    assert run("mine", "--continue_train", "--early_stop", "5", common=common) == 0
    assert [record["epoch"] for record in records(folder)] == [1, 2, 3, 4]


def test_training_and_selection_do_not_open_test_folders(run: Run, tiles: Path) -> None:
    opened: list[str] = []

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and active:
            opened.append(os.fsdecode(arguments[0]) if isinstance(arguments[0], str | bytes | os.PathLike) else "")

    active = True
    sys.addaudithook(watch)  # it can't be removed, only made to ignore what follows
    try:
        assert run("mine", "--val_freq", "1") == 0
    finally:
        active = False
    paths = [Path(name) for name in opened]
    inside = {path.relative_to(tiles).parts[:1] for path in paths if path.is_relative_to(tiles)}
    assert inside >= {("trainA",), ("trainB",), ("valA",), ("valB",)}
    assert not inside & {("testA",), ("testB",)}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--early_stop", "3"], r"--early_stop 3 needs validation images: put them into valA and valB"),
        (["--best_metric", "swd"], r"--best_metric swd needs validation images"),
    ],
)
def test_mistakes(flags: list[str], message: str, run: Run, tiles: Path) -> None:
    for name in ("valA", "valB"):
        for file in (tiles / name).iterdir():
            file.unlink()
        (tiles / name).rmdir()
    with pytest.raises(UserError, match=message):
        run("mine", *flags)


def test_a_best_metric_that_needs_ground_truth(run: Run, tiles: Path) -> None:
    for file in sorted((tiles / "valB").iterdir()):
        file.rename(file.with_stem(f"other_{file.stem}"))
    with pytest.raises(UserError, match=r"^--best_metric mae: .* can't be scored by mean absolute error: they lack"):
        run("mine", "--best_metric", "mae")


def test_a_best_metric_that_needs_an_extractor(run: Run) -> None:
    with pytest.raises(UserError, match=r"kid compares features of a network, and none is installed: pip install"):
        run("mine", "--best_metric", "kid")


def test_a_metric_of_the_users_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name in the class differs from the name on the command line."""
    (tmp_path / "brightness.py").write_text(
        "from util.evaluation.metric import Metric, Needs\n"
        "MINE = Metric('bright', 'bright', 'brightness', Needs.IMAGE, lambda x: float(x.mean()), (0, 1), True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run("mine", "--val_freq", "4", "--best_metric", "brightness:MINE") == 0
    assert described(tmp_path / "runs" / "mine")["rule"] == "highest mean brightness over all directions"


def test_pairs_that_a_model_does_not_score_are_compared_as_sets(run: Run, tiles: Path, tmp_path: Path) -> None:
    for domain in "AB":
        for phase in ("train", "val"):
            write_tiles(tiles / f"{phase}{domain}", 3, width=24, height=20)
    assert run("mine", "--val_freq", "4", "--dataset_mode", "aligned") == 0
    assert described(tmp_path / "runs" / "mine")["metric"] == "SWD x1000 (128 px)"


def test_images_that_no_default_metric_can_score(
    run: Run, tiles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two channels, and names that occur in one folder only."""
    for name, offset in (("trainA", 0), ("trainB", 0), ("valA", 0), ("valB", 10)):
        for file in (tiles / name).iterdir():
            file.unlink()
        for i in range(3):
            pixels = np.random.default_rng(i).integers(0, 255, (20, 24, 2), dtype=np.uint8)
            Image.fromarray(pixels, "LA").save(tiles / name / f"{i + offset}.png")
    common = [*COMMON, "--input_nc", "2", "--output_nc", "2"]
    assert run("mine", common=common) == 0
    assert "note: no validation, since the translations of --model cycle_gan can't be scored" in capsys.readouterr().out
    assert not (tmp_path / "runs" / "mine" / "best.json").exists()
    with pytest.raises(UserError, match=r"--best_metric swd: the translations of --model cycle_gan can't be scored"):
        run("other", "--best_metric", "swd", common=common)


def test_unreadable_validation_images_are_found_at_the_start(run: Run, tiles: Path, tmp_path: Path) -> None:
    for file in [*(tiles / "valA").iterdir(), *(tiles / "valB").iterdir()]:
        file.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"the first validation images in .* can't be read"):
        run("mine")
    assert not (tmp_path / "runs" / "mine").exists()


def test_a_folder_of_another_kind_of_dataset_is_no_validation_set(run: Run, tiles: Path, tmp_path: Path) -> None:
    for name in ("valA", "valB"):
        (tiles / name).rename(tiles.parent / name)
    (tiles / "val").mkdir()
    assert run("mine") == 0
    assert not (tmp_path / "runs" / "mine" / "metrics.jsonl").exists()
    (tiles / "valA").mkdir()
    with pytest.raises(UserError, match=r"^validation images: .* or train without validation, by --val_freq 0$"):
        run("other")


def test_paired_models_choose_by_the_mean_absolute_error(run: Run, tmp_path: Path) -> None:
    common = [*COMMON[: COMMON.index("--extractor")], "--extractor", "none", "--model", "pix2pix"]
    write_tiles(tmp_path / "tiles" / "valB", 3, width=24, height=20)
    assert run("pairs", "--val_freq", "4", common=common) == 0
    best = json.loads((tmp_path / "runs" / "pairs" / "best.json").read_text())
    assert best["rule"] == "lowest mean absolute error over all directions" and best["epoch"] == 4
    (record,) = records(tmp_path / "runs" / "pairs")
    assert {"fake_B SSIM", "fake_B PSNR (dB)", "fake_B edge distance"} <= record.keys()
