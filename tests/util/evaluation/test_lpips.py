"""LPIPS with random weights: which files it reads, and that it passes images on as the library expects them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torchvision.models import vgg

from util.errors import UserError
from util.evaluation import lpips
from util.evaluation.metrics import select_metrics

library = pytest.importorskip("torch_fidelity.sample_similarity_lpips")


@pytest.fixture
def weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder with random weights of LPIPS. Those of VGG16, 528 MB, are only an empty file: they stay in memory."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = lpips.hub_checkpoints()
    folder.mkdir(parents=True)
    torch.manual_seed(1)
    layers = {f"lin{i}.model.1.weight": torch.rand(1, n, 1, 1) for i, n in enumerate((64, 128, 256, 512, 512))}
    torch.save(layers, folder / "weights-vgg16-lpips.pth")
    torch.save({}, folder / "vgg16-397923af.pth")
    features = vgg.make_layers(vgg.cfgs["D"])
    monkeypatch.setattr(library, "torchvision_load_pretrained_vgg16", lambda: SimpleNamespace(features=features))
    lpips._network.cache_clear()
    return folder


def test_lpips_of_images(weights: Path) -> None:
    state = torch.random.get_rng_state()
    x, y = torch.rand(2, 3, 32, 40, generator=torch.Generator().manual_seed(2))
    (metric,) = select_metrics(["lpips"], None)
    assert metric.compute(x, x) == 0
    expected = library.SampleSimilarityLPIPS("lpips")(x[None] * 255, y[None] * 255)
    torch.random.set_rng_state(state)
    assert metric.compute(x, y) == pytest.approx(float(expected)) and expected > 0
    assert metric.compute(x[:1], y[:1]) == metric.compute(x[:1].expand(3, -1, -1), y[:1].expand(3, -1, -1))
    assert metric.compute(torch.rand(5, 32, 32), torch.rand(5, 32, 32)) is None


def test_missing_and_unreadable_weights(weights: Path) -> None:
    file = weights / "vgg16-397923af.pth"
    torch.save(SimpleNamespace(), file)  # an object that is not a tensor
    with pytest.raises(UserError, match=r"vgg16-397923af\.pth is not a file of weights \(UnpicklingError\)"):
        lpips.perceptual_distance(torch.zeros(3, 32, 32), torch.zeros(3, 32, 32))
    file.unlink()
    with pytest.raises(UserError, match=r"not in .*checkpoints: save https://[^ ]*/vgg16-397923af\.pth there$"):
        select_metrics(["lpips"], None)
