"""Pairs: how they are found, that both images are transformed alike, and errors for pairs that do not fit."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from data import PREPROCESS, create_dataset
from data.aligned_dataset import AlignedDataset
from data.formats.image_reader import UnreadableImage, read_labels
from data.transforms import Choices, resize_labels
from tests.conftest import Options
from util.errors import UserError
from util.stage import Stage

Pairs = Callable[..., Path]


def picture(number: int, width: int = 40, height: int = 36) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def negative(image: np.ndarray) -> np.ndarray:
    """The B of every pair here, which shows whether A and B were cropped at the same position."""
    return 255 - image


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture
def side_by_side(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "joined" / "train" / f"{i}.png", np.hstack([picture(i), negative(picture(i))]))
    return tmp_path / "joined"


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    for i in range(4):
        save(tmp_path / "pairs" / "trainA" / f"sub/{i}.png", picture(i))
        save(tmp_path / "pairs" / "trainB" / f"sub/{i}.bmp", negative(picture(i)))
    return tmp_path / "pairs"


def resolved(options: Options, root: Path, *flags: object) -> argparse.Namespace:
    return options("--model", "pix2pix", "--dataroot", root, *flags)


def samples(opt: argparse.Namespace, epochs: int = 3) -> list[dict[str, Any]]:
    dataset = AlignedDataset(opt, Stage.TRAIN)
    return [dataset[epoch, index] for epoch in range(epochs) for index in range(len(dataset))]


@pytest.mark.parametrize("form", ["side_by_side", "two_folders"])
@pytest.mark.parametrize("preprocess", PREPROCESS)
def test_both_images_of_a_pair_are_cropped_and_flipped_alike(
    form: str, preprocess: str, options: Options, request: pytest.FixtureRequest
) -> None:
    root = request.getfixturevalue(form)
    seen = samples(resolved(options, root, "--preprocess", preprocess, "--load_size", "44"), epochs=4)
    assert len(seen) == 16 and all(not sample["unreadable"] for sample in seen)
    for sample in seen:
        # Bicubic overshoots are clipped at 0 and 255; the negative overshoots in the opposite direction.
        assert (sample["A"] + sample["B"]).abs().max() <= 2.5 / 127.5
    assert len({sample["A"].numpy().tobytes() for sample in seen if "0." in sample["A_paths"]}) > 1  # random crops


def test_both_forms_give_the_same(options: Options, side_by_side: Path, two_folders: Path) -> None:
    one, other = (samples(resolved(options, root)) for root in (side_by_side, two_folders))
    for a, b in zip(one, other, strict=True):
        assert torch.equal(a["A"], b["A"]) and torch.equal(a["B"], b["B"])
    assert one[0]["A_paths"] == one[0]["B_paths"] == str(side_by_side / "train" / "0.png")
    assert other[0]["B_paths"] == str(two_folders / "trainB" / "sub" / "0.bmp")


def test_each_side_has_its_channels(options: Options, side_by_side: Path) -> None:
    flags = ["--input_nc", "1", "--output_nc", "3", "--preprocess", "none", "--no_flip"]
    gray = torch.from_numpy(np.array(Image.fromarray(picture(0)).convert("L")))
    A, B = (samples(resolved(options, side_by_side, *flags))[0][domain] for domain in "AB")
    assert A.shape == (1, 36, 40) and B.shape == (3, 36, 40)
    torch.testing.assert_close((A[0] + 1) * 127.5, gray.float())
    back = samples(resolved(options, side_by_side, *flags, "--direction", "BtoA"))[0]
    assert back["A"].shape == (3, 36, 40) and back["B"].shape == (1, 36, 40)  # the input is B


def test_unpaired_images_are_counted(options: Options, two_folders: Path) -> None:
    save(two_folders / "trainA" / "lonely.png", picture(9))
    (two_folders / "trainB" / "sub" / "2.bmp").unlink()
    dataset = create_dataset(resolved(options, two_folders))
    assert len(dataset) == 3
    assert dataset.summary() == (
        f"3 pairs in {two_folders}/trainA and {two_folders}/trainB (2 unpaired images skipped, such as "
        f"{two_folders}/trainA/lonely.png)"
    )
    assert [len(paths) for paths in dataset.dataset.files().values()] == [3, 3]
    assert len(create_dataset(resolved(options, two_folders, "--max_dataset_size", 2))) == 2


def test_no_common_name_is_an_error(options: Options, tmp_path: Path) -> None:
    for domain in "AB":
        save(tmp_path / f"train{domain}" / f"{domain}1.png", picture(1))
    with pytest.raises(UserError, match=r"trainB have no file name in common \(.*/A1\.png and .*/B1\.png, for"):
        create_dataset(resolved(options, tmp_path))


def test_one_name_for_two_images_is_an_error(options: Options, two_folders: Path) -> None:
    save(two_folders / "trainA" / "sub" / "1.jpg", picture(1))
    with pytest.raises(UserError, match=r"/1\.jpg and 1\.png have the same name: remove one of them$"):
        create_dataset(resolved(options, two_folders))


@pytest.mark.parametrize("fault", ["size", "damage"])
def test_a_pair_that_does_not_fit_is_unreadable(fault: str, options: Options, two_folders: Path) -> None:
    file = two_folders / "trainB" / "sub" / "1.bmp"
    if fault == "size":
        save(file, picture(1, width=38))
    else:
        file.write_bytes(b"BM")
    with pytest.raises(UnreadableImage) as caught:
        AlignedDataset(resolved(options, two_folders), Stage.TRAIN).load(1, np.random.default_rng(0))
    assert caught.value.path == str(file)
    if fault == "size":
        assert caught.value.reason == f"has 38x36 pixels, but its pair {two_folders}/trainA/sub/1.png has 40x36"


def test_a_pair_of_odd_width_is_unreadable(options: Options, side_by_side: Path) -> None:
    save(side_by_side / "train" / "2.png", picture(2, width=41))
    with pytest.raises(UnreadableImage, match=r"/2\.png: is 41 pixels wide: A and B side by side need an even width$"):
        AlignedDataset(resolved(options, side_by_side), Stage.TRAIN).load(2, np.random.default_rng(0))


def test_a_half_that_is_too_elongated_is_unreadable(options: Options, side_by_side: Path) -> None:
    save(side_by_side / "train" / "2.png", picture(2, width=2, height=200_000))
    dataset = AlignedDataset(resolved(options, side_by_side, "--preprocess", "scale_width"), Stage.TRAIN)
    with pytest.raises(UnreadableImage, match=r"would be resized to 32x6400000 pixels: too elongated$"):
        dataset.load(2, np.random.default_rng(0))


def test_subfolders_are_not_pairs(options: Options, tmp_path: Path) -> None:
    for domain in "AB":
        save(tmp_path / "train" / domain / "1.png", picture(1))
    with pytest.raises(UserError, match=r"train/A and train/B: rename them to trainA and trainB; or .*/train, where"):
        create_dataset(resolved(options, tmp_path))


# Class ids.


def ids(number: int = 0, height: int = 36, width: int = 40) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 35, (height, width), dtype=np.uint8)


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Maps of class ids, and images whose gray is seven times the id."""
    for i in range(3):
        save(tmp_path / "labeled" / "trainA" / f"{i}.png", ids(i))
        save(tmp_path / "labeled" / "trainB" / f"{i}.png", np.repeat(7 * ids(i)[:, :, None], 3, axis=2))
    return tmp_path / "labeled"


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_class_ids_stay_aligned_with_their_image(direction: str, options: Options, labeled: Path) -> None:
    if direction == "BtoA":
        for old, new in (("trainA", "x"), ("trainB", "trainA"), ("x", "trainB")):
            (labeled / old).rename(labeled / new)
    # Cropped and flipped, but not scaled, so that each pixel of the image determines its id.
    flags = ["--label_nc", 35, "--preprocess", "crop", "--direction", direction]
    opt = resolved(options, labeled, *flags)
    assert opt.input_nc == 35
    source, target = ("A", "B") if direction == "AtoB" else ("B", "A")
    for sample in samples(opt):
        assert sample[source].dtype == torch.uint8 and sample[source].shape == (1, 32, 32)
        expected = 7 * sample[source].float().expand(3, -1, -1)
        torch.testing.assert_close((sample[target] + 1) * 127.5, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
@pytest.mark.parametrize("stage", [Stage.VALIDATE, Stage.TEST])
def test_unless_training_the_folder_of_the_input_may_be_alone(
    stage: Stage, direction: str, options: Options, labeled: Path
) -> None:
    source, target = ("A", "B") if direction == "AtoB" else ("B", "A")
    (labeled / "trainA").rename(labeled / f"test{source}")
    opt = resolved(options, labeled, "--label_nc", 35, "--direction", direction, "--preprocess", "none", "--no_flip")
    (batch, *others) = create_dataset(opt, stage, "test")
    assert batch.keys() >= {source, f"{source}_paths"} and not batch.keys() & {target, f"{target}_paths"}
    assert len(others) == 2 and torch.equal(batch[source][0, 0], torch.from_numpy(ids(0)))
    dataset = AlignedDataset(opt, stage, "test")
    assert dataset.summary() == f"3 images in {labeled}/test{source}, without ground truth"
    assert [path.name for path in dataset.files()[f"test{source}"]] == ["0.png", "1.png", "2.png"]
    with pytest.raises(UserError, match=r"expected testA and testB in it"):
        AlignedDataset(opt, Stage.TRAIN, "test")
    opt.direction = "BtoA" if direction == "AtoB" else "AtoB"
    with pytest.raises(UserError, match=r"expected testA and testB in it"):
        AlignedDataset(opt, stage, "test")


def test_scaling_mixes_no_ids() -> None:
    two = torch.zeros(1, 9, 9, dtype=torch.uint8)
    two[:, :, 4:] = 34
    for size in (3, 7, 20):
        scaled = resize_labels(two, size, size)
        assert scaled.dtype == torch.uint8 and set(scaled.unique().tolist()) == {0, 34}
    # The center of pixel i of n, as when an image is resized: (i + 1/2) 9 / n.
    rows = torch.arange(9, dtype=torch.uint8).view(1, 9, 1).expand(1, 9, 9)
    assert resize_labels(rows, 3, 3)[0, :, 0].tolist() == [1, 4, 7]
    assert resize_labels(rows, 6, 9)[0, :, 0].tolist() == [int((i + 0.5) * 1.5) for i in range(6)]


def test_labels_are_transformed_as_images_are(options: Options, labeled: Path) -> None:
    transform = AlignedDataset(resolved(options, labeled, "--load_size", 32), Stage.TRAIN).transform
    columns = torch.arange(32, dtype=torch.uint8).expand(1, 32, 32)
    for choices in (Choices(0.3, 0.9, True), Choices(0.1, 0.2, False)):
        image: Tensor = (transform.apply(columns, choices) + 1) * 127.5
        assert torch.equal(transform.apply_to_labels(columns, choices).float(), image.round())


def test_class_ids_of_a_palette_image_are_its_indices(tmp_path: Path) -> None:
    image = Image.new("P", (40, 36))
    image.putdata(ids().flatten().tolist())
    image.putpalette([255 - value for value in range(256) for _ in range(3)])
    image.save(tmp_path / "p.png")
    assert Image.open(tmp_path / "p.png").mode == "P"
    assert torch.equal(read_labels(tmp_path / "p.png", 35)[0], torch.from_numpy(ids()))


def test_class_ids_may_have_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(ids().astype(np.uint16)).save(tmp_path / "deep.png")
    assert torch.equal(read_labels(tmp_path / "deep.png", 35)[0], torch.from_numpy(ids()))


def test_the_error_for_ids_out_of_range_names_the_file(options: Options, labeled: Path) -> None:
    odd = ids()
    odd[3, 4] = 200
    save(labeled / "trainA" / "1.png", odd)
    opt = resolved(options, labeled, "--label_nc", 35, "--on_bad_image", "error")
    with pytest.raises(UserError) as caught:
        list(create_dataset(opt))
    assert str(caught.value) == (
        f"{labeled}/trainA/1.png: contains class ids 0 to 200, but --label_nc 35 allows 0 to 34 (--on_bad_image "
        "skip continues without it)"
    )


def test_a_color_image_is_not_a_map_of_class_ids(tmp_path: Path) -> None:
    save(tmp_path / "rgb.png", picture(0))
    with pytest.raises(UnreadableImage, match=r"is not a map of class ids, .* its pixels are RGB"):
        read_labels(tmp_path / "rgb.png", 35)
