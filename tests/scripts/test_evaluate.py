"""scripts/evaluate.py: folders of images and runs against hand-made folders; mistakes in its options."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference import load_generator
from scripts import evaluate
from scripts.evaluation import systems
from scripts.evaluation.scoring import Comparison, best_of, differences
from tests.conftest import write_tiles
from tests.integration.conftest import ROOT
from tests.integration.test_inference import save_run
from util.errors import UserError
from util.evaluation import best, extractors
from util.evaluation.metrics import select_metrics
from util.evaluation.scores import text

NAMES = "mae,edges,swd"  # need no network


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object, metrics: str = NAMES) -> None:
    given = ["evaluate.py", *map(str, arguments), "--device", "cpu", "--extractor", "none", "--metrics", metrics]
    monkeypatch.setattr(sys, "argv", given)
    evaluate.main()


def blurred(folder: Path, out: Path, ending: str = ".png", size: int = 0) -> Path:
    """A folder with changed copies of images."""
    out.mkdir()
    for path in sorted(folder.iterdir()):
        picture = Image.open(path)
        shape = (size, size) if size else picture.size
        picture.resize((12, 12)).resize(shape).save(out / f"{path.stem}{ending}")
    return out


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Source, real images of the same names, and translations as a gallery has them."""
    for name in ("source", "real"):
        write_tiles(tmp_path / name, 12)
    made = blurred(tmp_path / "real", tmp_path / "made", "_fake_B.png")
    for path in (tmp_path / "source").iterdir():
        shutil.copy(path, made / f"{path.stem}_real_A.png")
    return tmp_path / "source", tmp_path / "real", made


def test_a_gallery_with_pairs_sources_and_a_baseline(
    folders: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, real, made = folders
    out = tmp_path / "figures.json"
    run(monkeypatch, made, real, "--pairs", "--source", source, "--baseline", real, "--out", out)
    printed = capsys.readouterr().out
    assert printed.startswith(f"12 real images in {real}\n{made}:\n  mean absolute error 0.")
    assert f"{made} minus {real}, on the images of both:\n  mean absolute error +0." in printed
    record = json.loads(out.read_text())
    (system,) = record["systems"]
    expected = {
        path.stem: np.abs(
            np.asarray(Image.open(path), dtype=float) - np.asarray(Image.open(made / f"{path.stem}_fake_B.png"))
        ).mean()
        / 255
        for path in real.iterdir()
    }
    found = {name: values["mean_absolute_error"] for name, values in system["images"].items()}
    assert found == pytest.approx(expected)
    mean = float(np.mean(list(expected.values())))
    assert system["scores"]["mean_absolute_error"] == pytest.approx(mean)
    low, high = system["intervals"]["mean_absolute_error"]
    assert low < mean < high
    assert system["files"]["03"] == str(made / "03_fake_B.png")
    assert record["baseline"]["scores"]["mean_absolute_error"] == 0
    assert record["baseline"]["scores"]["swd_x1000"] == pytest.approx(0, abs=1e-3)
    difference = system["differences"]["mean_absolute_error"]
    assert difference["value"] == pytest.approx(mean) and difference["images"] == 12
    assert difference["interval"][0] < mean < difference["interval"][1]
    assert system["scores"]["swd_x1000"] == pytest.approx(system["differences"]["swd_x1000"]["value"], abs=1e-3)


def test_figures_are_those_of_the_images_in_any_order_size_and_format(tmp_path: Path) -> None:
    made = write_tiles(tmp_path / "made", 12)
    write_tiles(tmp_path / "real", 5, 64, 32)
    metrics = select_metrics(NAMES.split(","), None)
    system = systems.of_folder(tmp_path / "made", "", None)
    reals = systems.of_folder(tmp_path / "real", "", None).images
    figures = Comparison(metrics, reals, system.images, {}).score(system).figures(intervals=True)
    for path in made:
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    again = systems.of_folder(tmp_path / "made", "", None)
    turned = systems.System("", "", dict(sorted(again.images.items(), reverse=True)), again.load)
    backwards = dict(sorted(reals.items(), reverse=True))
    assert Comparison(metrics, backwards, again.images, {}).score(turned).figures(intervals=True) == figures
    assert {figure.metric.name for figure in figures["translations"]} == {"edges", "swd"}


def test_unreadable_images_and_other_sizes_are_named_and_skipped(
    folders: tuple[Path, Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, real, made = folders
    (made / "00_fake_B.png").write_bytes(b"")
    (made / "01_fake_B.png").unlink()
    (real / "02.png").write_text("no image")
    Image.new("RGB", (7, 9)).save(real / "03.png")
    out = tmp_path / "figures.json"
    run(monkeypatch, made, real, "--pairs", "--out", out)
    output = capsys.readouterr()
    assert output.err.count(f"warning: {made}/00_fake_B.png: is empty (0 bytes); skipped\n") == 1
    assert output.err.count(f"warning: {real}/02.png: can't be decoded") == 1
    assert f"warning: {real}/03.png: not compared as a pair: 40x36 and 7x9 pixels; skipped\n" in output.err
    record = json.loads(out.read_text())
    assert record["systems"][0]["counts"] == {"mean_absolute_error": 8, "swd_x1000": 10}
    assert len(record["skipped"]) == 3
    for path in made.glob("*_fake_B.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the 11 images can be read$"):
        run(monkeypatch, made, real)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Path, Path]:
    """A run with several checkpoints, as if trained, and the test images of its dataset."""
    data = tmp_path / "checkpoints" / "gone"  # the dataroot of save_run
    for name in ("testA", "testB"):
        write_tiles(data / name, 12)
    folder = save_run(tmp_path / "checkpoints", "run", "--lambda_identity", "0")
    for number, epoch in enumerate(("best", "5", "10")):
        for path in folder.glob("latest_net_G_*.pth"):
            weights = torch.load(path, weights_only=True)
            changed = {name: value * (1 - 0.2 * number) for name, value in weights.items()}
            torch.save(changed, folder / path.name.replace("latest", epoch))
    best = {"epoch": 10, "rule": "lowest mean KID", "metric": "KID", "value": 3.5, "images": {"fake_B": 200}}
    (folder / "best.json").write_text(json.dumps(best))
    state = {"format": 3, "objects": {"progress": {"epoch": 11, "images_in_epoch": 0}}}
    torch.save(state, folder / "latest_state.pt")
    return folder, data


def test_a_run_translates_its_own_test_images(
    trained: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = trained
    out = tmp_path / "figures.json"
    run(monkeypatch, folder, data / "testB", "--out", out)
    output = capsys.readouterr().out
    assert f"\n{folder}, last checkpoint (epoch 10):\n" in output
    assert f"\n{folder}, best checkpoint (epoch 10), chosen on validation images: lowest mean KID (3.5):\n" in output
    assert "not comparable" not in output
    made = tmp_path / "made"
    made.mkdir()
    translate = load_generator(folder, "AtoB", device="cpu")
    for path in (data / "testA").iterdir():
        translate(path).save(made / path.name)
    again = tmp_path / "again.json"
    run(monkeypatch, made, data / "testB", "--source", data / "testA", "--out", again)
    first, second = (json.loads(path.read_text())["systems"][0] for path in (out, again))
    assert first["scores"] == second["scores"] and first["images"] == second["images"]
    assert set(first["scores"]) == {"images", "edge_distance", "swd_x1000"}
    assert first["files"]["00"] == str(data / "testA" / "00.png")


def test_the_best_of_several_checkpoints_is_marked(
    trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = trained
    run(monkeypatch, folder, data / "testB", "--epoch", "all", metrics="swd")
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split(": ")[0] for line in lines] == [f"{folder}, checkpoint of epoch {n}" for n in (5, 10)]
    values = [float(line.split(" px) ")[1].split()[0]) for line in lines]
    marked = [i for i, line in enumerate(lines) if "chosen on the test set, not comparable" in line]
    assert marked == [int(np.argmin(values))] and values[0] != values[1]
    run(monkeypatch, folder, data / "testA", "--direction", "BtoA", "--epoch", "10", metrics="swd")
    assert f"{folder}, checkpoint of epoch 10:\n  SWD" in capsys.readouterr().out


def test_which_checkpoints(trained: tuple[Path, Path], tmp_path: Path) -> None:
    folder, _ = trained
    assert systems.choose_epochs(folder, None) == ["latest", "best"]
    assert systems.choose_epochs(folder, ["10", "5", "10"]) == ["10", "5"]
    with pytest.raises(UserError, match=r"^--epoch 7: .* has no such weights: choose one of latest, best, 5, 10$"):
        systems.choose_epochs(folder, ["7"])
    assert best.last_epoch(folder) == 10
    torch.save({"format": 3, "objects": {"progress": {"epoch": 1, "images_in_epoch": 8}}}, folder / "latest_state.pt")
    with (folder / "latest_state.pt").open("ab") as file:
        file.write(b"sha256:" + b"0" * 64)  # as a run seals its state
    assert best.last_epoch(folder) == 1
    (folder / "latest_state.pt").write_bytes(b"damaged")
    assert best.last_epoch(folder) is None
    for path in folder.glob("*.pth"):
        path.unlink()
    for given, sentence in ((None, "has no weights of a generator"), (["all"], "has no weights of single epochs")):
        with pytest.raises(UserError, match=sentence):
            systems.choose_epochs(folder, given)


def test_differences_are_those_of_the_images_in_both(folders: tuple[Path, Path, Path]) -> None:
    _, real, made = folders
    metrics = select_metrics(["mae", "swd"], None)
    reals = systems.of_folder(real, "", None)
    comparison = Comparison(metrics, reals.images, {}, reals.images)
    system = systems.of_folder(made, "", None)
    fewer = systems.System(
        "fewer", "fewer", {name: path for name, path in system.images.items() if name > "02"}, system.load
    )
    scores = comparison.score(system)
    for row in differences(scores, comparison.score(fewer)):
        assert row.value == 0 and row.images == 9
    (mae, swd) = differences(scores, comparison.score(reals))
    assert (mae.images == 12 and mae.interval is None) or mae.interval[0] > 0
    assert swd.interval is None and swd.text().startswith("SWD x1000 (128 px) +")
    figures = scores.figures()["translations"]
    assert best_of([figures, figures]) == (0, "lowest mean absolute error")
    assert text(figures).startswith("mean absolute error 0.")


def arguments_of_mistakes(folders: tuple[Path, Path, Path]) -> dict[str, tuple[list[Any], str]]:
    source, real, made = folders
    return {
        "folder": ([made / "gone", real], r"^the subject .*gone is not a folder: .* or of a run \(checkpoints/NAME\)$"),
        "reference": (
            [made, source.parent / "gone"],
            r"^the reference .*gone is not a folder: expected a folder of images$",
        ),
        "dataset": (
            [made, source.parent],
            r"^the reference .* has folders of both domains: choose one of them, such as .*testB$",
        ),
        "epoch": ([made, real, "--epoch", "5"], r"^--epoch is for a run, but .*made has no options\.json$"),
        "direction": ([made, real, "--direction", "AtoB"], r"^--direction is for a run"),
        "visual": ([made, real, "--visual", "fake_A"], r"^--visual fake_A: .*made has no image whose name ends in"),
        "names": ([made, real, "--source", source.parent / "other"], r"^--source .*other: no image has the name of a"),
        "out": ([made, real, "--out", made / "gone" / "x.json"], r"^--out .*x\.json can't be written: No such file"),
    }


@pytest.mark.parametrize("mistake", ["folder", "reference", "dataset", "epoch", "direction", "visual", "names", "out"])
def test_mistakes(folders: tuple[Path, Path, Path], mistake: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiles(folders[0].parent / "other", 1)[0].rename(folders[0].parent / "other" / "unlike.png")
    for name in ("testA", "testB"):
        (folders[0].parent / name).mkdir(exist_ok=True)
    arguments, sentence = arguments_of_mistakes(folders)[mistake]
    with pytest.raises(UserError, match=sentence):
        run(monkeypatch, *arguments)


def test_a_gallery_of_two_directions(folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, real, made = folders
    shutil.copy(source / "00.png", made / "00_fake_A.png")
    with pytest.raises(UserError, match=r"made has fake_A and fake_B: choose --visual fake_A or --visual fake_B$"):
        run(monkeypatch, made, real)
    run(monkeypatch, made, real, "--visual", "fake_B")


def test_a_run_whose_dataset_is_gone(trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, data = trained
    shutil.move(data / "testA", data / "elsewhere")
    with pytest.raises(UserError, match=r"testA is not a folder: give the images to translate with --source FOLDER$"):
        run(monkeypatch, folder, data / "testB")
    run(monkeypatch, folder, data / "testB", "--source", data / "elsewhere", "--epoch", "latest", metrics="swd")


def test_sources_as_reference(trained: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, data = trained
    with pytest.raises(UserError, match=r"testA is also the source of AtoB: .* or add --direction BtoA$"):
        run(monkeypatch, folder, data / "testA")


def test_a_missing_extractor_is_reported_once(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, real, made = folders
    monkeypatch.setattr(extractors, "_is_installed", lambda module: False)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", str(made), str(real), "--device", "cpu"])
    evaluate.main()
    output = capsys.readouterr()
    assert output.err.count("note: no network for KID, precision and recall is installed: pip install") == 1
    assert "SWD" in output.out and "KID" not in output.out


def test_metrics_that_lack_images_are_named(
    folders: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, real, made = folders
    run(monkeypatch, made, real)
    errors = capsys.readouterr().err
    assert "note: --metrics mae is not computed: it needs ground truth (--pairs, " in errors
    assert "note: --metrics edges is not computed: it needs the source images (--source FOLDER)" in errors
    run(monkeypatch, made, real, "--source", source, "--pairs")
    assert "is not computed" not in capsys.readouterr().err


def test_the_command(folders: tuple[Path, Path, Path]) -> None:
    _, real, made = folders
    command = [sys.executable, ROOT / "scripts" / "evaluate.py", made]
    flags = ["--extractor", "none", "--device", "cpu", "--metrics", "swd"]
    done = subprocess.run([*command, real, *flags], capture_output=True, text=True)
    assert done.returncode == 0 and "SWD x1000 (128 px)" in done.stdout, done.stderr
    done = subprocess.run([*command, made / "gone", *flags], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: the reference "), done.stderr
