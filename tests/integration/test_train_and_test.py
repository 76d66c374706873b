"""The two commands, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from data import DATASETS
from models import MODELS
from tests import forked
from tests.integration.conftest import ROOT, SMALL, Command

# What every model is trained and tested with; a model or dataset that is missing here fails the test below.
TRAINED = {
    "colorization": ["--dataset_mode", "colorization", "--phase", "trainA"],
    "cut": ["--dataset_mode", "unaligned"],
    "cycle_gan": ["--dataset_mode", "unaligned"],
    "dcgan": ["--dataset_mode", "single", "--batch_size", "1", "--augment", "diffaug"],
    "pix2pix": ["--dataset_mode", "aligned", "--phase", "test"],  # where the maps come in pairs
    "pix2pix_hd": ["--dataset_mode", "aligned", "--phase", "test", "--netG", "global"],
    "template": ["--dataset_mode", "template"],
}
ONLY_TESTED = {"test": "single"}
TESTED_WITH = {"colorization": ["--phase", "testA"]}  # what differs from training
PICTURES = {"colorization": "fake_B_rgb", "dcgan": "fake"}  # where it is not fake_B
TESTING_DATASETS = {"latent"}  # of models that bring their own


def run_folder(tmp_path: Path) -> Path:
    """The only run in the working folder."""
    (folder,) = (tmp_path / "checkpoints").iterdir()
    return folder


def gallery(tmp_path: Path) -> Path:
    """The only gallery in the working folder."""
    (page,) = (tmp_path / "results").glob("*/*/index.html")
    return page.parent


def weights(folder: Path, epoch: str = "latest") -> dict[str, Any]:
    """All weights of a run, by file and parameter."""
    files = sorted(folder.glob(f"{epoch}_net_*.pth"))
    return {f"{f.name}:{k}": v for f in files for k, v in torch.load(f, weights_only=True).items()}


def assert_same_weights(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys() and one
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def records(folder: Path) -> list[dict[str, Any]]:
    """The lines of losses.jsonl, without the time they took."""
    lines = (folder / "losses.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_the_tables_name_every_model_and_dataset() -> None:
    modes = {arguments[1] for arguments in TRAINED.values()} | set(ONLY_TESTED.values()) | TESTING_DATASETS
    assert sorted([*TRAINED, *ONLY_TESTED]) == MODELS.names()
    assert sorted(modes) == DATASETS.names()


@pytest.mark.parametrize("model", TRAINED)
def test_a_model_trains_two_steps_and_tests_one_image(
    model: str, train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    arguments = ["--model", model, *TRAINED[model]]
    if model == "template":
        arguments += ["--dataroot", maps / "trainA"]
    train(*arguments, "--print_freq", 1, "--update_html_freq", 1)
    folder = run_folder(tmp_path)
    assert [line["step"] for line in records(folder)] == [1, 2]
    assert (folder / "latest_state.pt").is_file() and (folder / "web" / "index.html").is_file()

    dataroot = maps / "trainA" if model == "template" else maps
    done = command("test.py", "--dataroot", dataroot, "--num_test", 1, "--num_threads", 0, *TESTED_WITH.get(model, []))
    assert "translated 1 of" in done.stdout and ("--num_test" in done.stdout or model == "dcgan")
    ending = f"_{PICTURES.get(model, 'fake_B')}.png"
    pictures = {path.name for path in (gallery(tmp_path) / "images").rglob(f"*{ending}")}
    assert len(pictures) == 1


def test_single_images_are_translated_by_weights_without_options(
    train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    train("--name", "trained")
    elsewhere = tmp_path / "checkpoints" / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "checkpoints/trained/latest_net_G_A.pth", elsewhere / "latest_net_G.pth")
    network = ["--netG", "resnet_6blocks", "--ngf", "4", "--no_dropout", "--crop_size", "32", "--num_threads", "0"]
    done = command("test.py", "--dataroot", maps / "testA", "--name", "elsewhere", *network, "--num_test", 1)
    assert "note: checkpoints/elsewhere/latest_net_G.pth is not listed in a manifest.json" in done.stderr
    assert len(list((gallery(tmp_path) / "images").glob("*_fake.png"))) == 1
    message = command(
        "test.py", "--dataroot", maps / "testA", "--name", "elsewhere", *network, "--norm", "batch", code=2
    ).stderr
    assert "latest_net_G.pth does not fit the network" in message
    # The way back, with the options of the run.
    command(
        *("test.py", "--dataroot", maps / "testB", "--name", "trained", "--model", "test", "--model_suffix", "_B"),
        *("--num_test", 1, "--num_threads", 0),
    )


def test_nothing_is_repeated_at_test_time(train: Command, command: Command, maps: Path, tmp_path: Path) -> None:
    train("--norm", "batch", "--dropout", "--direction", "BtoA", "--preprocess", "scale_width_and_crop")
    done = command("test.py", "--dataroot", maps, "--num_threads", 0, "--num_test", 3)
    assert "one image at a time" in done.stdout
    page = (gallery(tmp_path) / "index.html").read_text()
    assert page.count("<article") == 6  # three images, each way


def test_the_stored_scores_are_those_of_the_pictures(
    train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    train()
    command("test.py", "--dataroot", maps, "--num_threads", 0, "--num_test", 4, "--batch_size", 2)
    scores = json.loads((gallery(tmp_path) / "metrics.json").read_text())["scores"]

    def read(path: Path) -> np.ndarray:
        return np.asarray(Image.open(path), dtype=np.float64) / 255

    for domain in "AB":
        made = sorted((gallery(tmp_path) / "images").glob(f"*_fake_{domain}.png"))
        pairs = [(read(p), read(Path(str(p).replace("_fake_", "_truth_")))) for p in made]
        assert len(pairs) == 4
        error = np.mean([np.abs(x - y).mean() for x, y in pairs])
        ssim = np.mean([structural_similarity(x, y, channel_axis=2, data_range=1.0) for x, y in pairs])
        assert scores[f"fake_{domain}"]["mean_absolute_error"] == pytest.approx(error, abs=1e-6)
        assert scores[f"fake_{domain}"]["ssim"] == pytest.approx(ssim, abs=1e-6)


def test_a_pair_is_scored_against_its_other_half(train: Command, command: Command, maps: Path, tmp_path: Path) -> None:
    for phase in ("train", "test"):
        command(
            *("scripts/pairs.py", "join", "--A", maps / "testA", "--B", maps / "testB"),
            *("--out", tmp_path / "facades" / phase),
        )
    train("--dataroot", tmp_path / "facades", "--model", "pix2pix", "--direction", "BtoA")
    assert sorted(path.name for path in run_folder(tmp_path).glob("latest_net_*.pth")) == [
        "latest_net_D.pth",
        "latest_net_G.pth",
    ]
    command("test.py", "--dataroot", tmp_path / "facades", "--num_threads", 0, "--num_test", 2, "--eval")
    (score,) = json.loads((gallery(tmp_path) / "metrics.json").read_text())["scores"].values()
    pictures = gallery(tmp_path) / "images"
    assert {path.name.split("_", 2)[2] for path in pictures.iterdir()} == {"real_A.png", "fake_B.png", "real_B.png"}
    errors = []
    for made in pictures.glob("*_fake_B.png"):
        fake, real = (
            np.asarray(Image.open(path), dtype=np.float64) / 255
            for path in (made, made.with_name(made.name.replace("fake", "real")))
        )
        errors.append(np.abs(fake - real).mean())
    assert score["images"] == len(errors) == 2
    assert score["mean_absolute_error"] == pytest.approx(np.mean(errors), abs=1e-6)


def test_an_enhancer_of_class_ids_is_put_around_a_trained_generator(
    train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    city = tmp_path / "city"
    for phase in ("train", "test"):
        for domain in "AB":
            shutil.copytree(maps / f"test{domain}", city / f"{phase}{domain}")
        for path in (city / f"{phase}A").iterdir():
            Image.open(path).convert("L").point(lambda gray: gray // 8).save(path)
    common = ["--dataroot", city, "--model", "pix2pix_hd", "--label_nc", 35]
    train(*common, "--name", "half", "--netG", "global", "--ngf", 4)
    size = ["--load_size", 64, "--crop_size", 64, "--n_epochs", 2]
    enhancer = [*common, *size, "--name", "whole", "--netG", "local", "--ngf", 2, "--init_from", "half"]
    assert "fits only partly" in train(*enhancer, code=2).stderr
    done = train(*enhancer, "--init_partial", "--niter_fix_global", 1)
    taken = re.search(r"netG: (\d+) parameters from \S+half/latest_net_G.pth; (\d+) missing", done.stdout)
    assert taken is not None and int(taken[1]) > int(taken[2]) > 0
    assert "netD: 16 parameters from checkpoints/half" in done.stdout
    command("test.py", "--dataroot", city, "--name", "whole", "--num_threads", 0, "--num_test", 2)
    shown = np.asarray(Image.open(next((gallery(tmp_path) / "images").glob("*_real_A.png"))))
    assert shown.shape == (64, 64, 3) and 1 < len(np.unique(shown.reshape(-1, 3), axis=0)) <= 35


@pytest.mark.parametrize("domain", ["A", "B"])
def test_one_way_is_the_same_as_in_both(
    domain: str, train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    train("--direction", "BtoA")  # --translate names folders, whatever the direction
    common = ["--dataroot", maps, "--num_threads", 0, "--num_test", 4]
    command("test.py", *common, "--results_dir", tmp_path / "both")
    command("test.py", *common, "--translate", domain, "--no_reconstruction", "--batch_size", 2)
    source, target = ("B", "A") if domain == "A" else ("A", "B")
    made = sorted((gallery(tmp_path) / "images").iterdir())
    kinds = {f"real_{source}", f"fake_{target}", f"truth_{target}"}
    assert len(made) == 12 and {path.stem.split("_", 2)[2] for path in made} == kinds
    for path in made:
        (same,) = (tmp_path / "both").rglob(path.name)
        now, before = (np.asarray(Image.open(file), dtype=int) for file in (path, same))
        assert np.abs(now - before).max() <= 1


def test_as_many_images_as_asked_for_whatever_the_batch(train: Command, command: Command, maps: Path) -> None:
    train()
    common = ["--dataroot", maps, "--num_threads", 0, "--eval", "--translate", "A"]
    done = command("test.py", *common, "--num_test", 3, "--batch_size", 2, "--results_dir", "three")
    assert "translated 3 of" in done.stdout
    assert len(list((maps / "testA").iterdir())) > 3


def test_ctrl_c_while_testing_leaves_a_whole_gallery(train: Command, maps: Path, tmp_path: Path) -> None:
    train()
    arguments = ["--dataroot", str(maps), "--num_threads", "0", "--num_test", "1000"]
    process = forked.start(ROOT / "test.py", arguments, tmp_path, os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while not any((tmp_path / "results").rglob("*_fake_B.png")) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    page = (gallery(tmp_path) / "index.html").read_text()
    shown = set(re.findall(r'src="(images/[^"]+)"', page))
    made = {path.relative_to(gallery(tmp_path)).as_posix() for path in (gallery(tmp_path) / "images").rglob("*")}
    assert shown == made
    translated = len([file for file in shown if file.endswith("_fake_B.png")])
    assert f"translated {translated} of {len(list((maps / 'testA').iterdir()))}" in stdout
    for file in shown:
        with Image.open(gallery(tmp_path) / file) as picture:
            picture.load()


def test_the_number_of_workers_changes_nothing(train: Command, tmp_path: Path) -> None:
    common = ["--max_dataset_size", 4, "--print_freq", 1, "--no_html"]
    train(*common, "--name", "none", "--num_threads", 0)
    train(*common, "--name", "two", "--num_threads", 2)
    none, two = (tmp_path / "checkpoints" / name for name in ("none", "two"))
    assert records(none) == records(two)
    assert_same_weights(weights(none), weights(two))


def test_ctrl_c_saves_and_continuing_ends_as_if_nothing_had_happened(
    train: Command, command: Command, maps: Path, tmp_path: Path
) -> None:
    common = ["--max_dataset_size", 6, "--print_freq", 1, "--n_epochs", 2, "--n_epochs_decay", 1]
    common += ["--pool_size", 2, "--ema_decay", 0.9]
    train(*common, "--name", "whole")
    arguments = ["--dataroot", maps, *SMALL, "--display_id", 0, "--seed", 1, *common, "--name", "stopped"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = forked.start(ROOT / "train.py", [str(argument) for argument in arguments], tmp_path, environment)
    log = tmp_path / "checkpoints" / "stopped" / "losses.jsonl"
    deadline = time.monotonic() + 120
    while not (log.is_file() and len(log.read_text().splitlines()) >= 8) and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    resume = shlex.split(stderr.partition("resume with: ")[2])
    assert resume[0] == "python" and Path(resume[1]).name == "train.py"
    assert "--continue_train" in resume and resume[resume.index("--name") + 1] == "stopped"
    assert 8 <= len(log.read_text().splitlines()) < 18
    whole, stopped = (tmp_path / "checkpoints" / name for name in ("whole", "stopped"))
    assert "stopped, as of" in (stopped / "web" / "index.html").read_text()

    command(*resume[1:])  # the printed command, which repeats no other option
    assert "finished, as of" in (stopped / "web" / "index.html").read_text()
    assert records(whole) == records(stopped)
    assert_same_weights(weights(whole), weights(stopped))


def test_a_folder_with_a_run_is_not_trained_into(train: Command, tmp_path: Path) -> None:
    train()
    before = weights(run_folder(tmp_path))
    message = train(code=2).stderr
    assert "already contains a run" in message and "--continue_train" in message and "--overwrite" in message
    assert_same_weights(weights(run_folder(tmp_path)), before)
    train("--overwrite", "--seed", 1)
    assert_same_weights(weights(run_folder(tmp_path)), before)


def test_a_corrupt_image_is_named_and_training_continues(train: Command, maps: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(maps, mine)
    for broken in sorted((mine / "trainA").iterdir())[:2]:
        broken.write_bytes(broken.read_bytes()[:200])
    done = train("--dataroot", mine, "--max_dataset_size", 4, "--n_epochs", 2)
    assert done.stderr.count(f"skipped unreadable image {broken}") == 1
    assert "unreadable files: 2; images drawn in their place: " in done.stderr
    message = train(
        "--dataroot", mine, "--max_dataset_size", 4, "--on_bad_image", "error", "--overwrite", code=2
    ).stderr
    assert "trainA" in message and "--on_bad_image" in message


def test_odd_file_names_reach_the_gallery(train: Command, command: Command, maps: Path, tmp_path: Path) -> None:
    train()
    name, photos = run_folder(tmp_path).name, tmp_path / "photos"
    photos.mkdir()
    odd = ["a b#1%20.png", "ü—日本.png", "<img src=x onerror=alert(1)>.png"]
    for source, target in zip(sorted((maps / "testA").iterdir()), odd, strict=False):
        shutil.copy(source, photos / target)
    arguments = ["--dataroot", photos, "--name", name, "--model", "test", "--model_suffix", "_A", "--num_threads", 0]
    stale = tmp_path / "results" / name / "test_latest" / "metrics.json"  # of an earlier test in this folder
    stale.parent.mkdir(parents=True)
    stale.write_text("{}")
    command("test.py", *arguments)
    images = json.loads(stale.read_text())["images"]["fake"]  # replaced
    assert set(images) == set(odd) and all("ssim" not in scores for scores in images.values())  # no ground truth
    page = (gallery(tmp_path) / "index.html").read_text()
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(1)&gt;.png" in page
    assert {path.name for path in (gallery(tmp_path) / "images").glob("*_fake.png")} == {
        f"{Path(name).stem}_fake.png" for name in odd
    }


def test_a_config_file_serves_both_commands(train: Command, command: Command, maps: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(f"dataroot: {maps}\nname: mine\nlambda_A: 5\nnum_threads: 0\n")
    train("--config", config)
    assert json.loads((run_folder(tmp_path) / "options.json").read_text())["options"]["lambda_A"] == 5
    command("test.py", "--config", config, "--num_test", 1)


def test_the_demo_in_short(command: Command, tmp_path: Path) -> None:
    short = ["--n_epochs", 1, "--n_epochs_decay", 0, "--max_dataset_size", 8, "--ngf", 4, "--ndf", 4]
    done = command("scripts/demo.py", "--out", tmp_path / "demo", *short, "--precision", "fp32")
    lines = done.stdout.splitlines()
    scores = [line for line in lines if "lines to color" in line and "color to lines" in line]
    assert [line.split(":")[0].strip() for line in scores][-2:] == ["mean absolute error", "SSIM"]
    written = json.loads((tmp_path / "demo" / "results" / "lines2color" / "test_best" / "metrics.json").read_text())
    assert written["scores"]["fake_B"]["images"] == 146 and "best checkpoint" in written["checkpoint"]
    assert f"lines to color {written['scores']['fake_B']['ssim']:.2f}" in scores[-1]
    paths = [line.split(": ", 1)[1].strip() for line in lines if line.startswith(("training page: ", "test gallery: "))]
    assert len(paths) == 2 and all(Path(path).is_file() for path in paths)
    assert "python train.py --dataroot my_images --config recipes/modern.yaml" in done.stdout
