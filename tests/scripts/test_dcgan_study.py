"""scripts/dcgan_study.py: its distance, and its choice of tiles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scripts import dcgan_study
from tests.conftest import write_tiles


def normal_sample(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Points (N, D) with exactly this mean and covariance."""
    points = np.random.default_rng(0).standard_normal((50, len(mean)))
    points -= points.mean(axis=0)
    points = np.linalg.solve(np.linalg.cholesky(np.cov(points, rowvar=False)), points.T)
    return (np.linalg.cholesky(covariance) @ points).T + mean


def test_distance_of_independent_normals() -> None:
    # With diagonal covariances: |m - n|^2 + |s - t|^2 for means m, n and standard deviations s, t.
    one = normal_sample(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]))
    other = normal_sample(np.array([1.0, 0.0, 6.0]), np.diag([25.0, 4.0, 1.0]))
    assert dcgan_study.frechet(one, other) == pytest.approx(4 + 9 + 16 + 4)
    assert dcgan_study.frechet(one, one) == pytest.approx(0, abs=1e-9)


def test_distance_is_rotation_invariant() -> None:
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))
    one = normal_sample(np.zeros(3), np.diag([1.0, 4.0, 9.0])) @ rotation
    other = normal_sample(np.zeros(3), np.diag([16.0, 1.0, 4.0])) @ rotation
    assert dcgan_study.frechet(one, other) == pytest.approx(9 + 1 + 1)


def test_an_interrupted_copy_of_tiles_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgan_study, "TILES", 3)
    write_tiles(tmp_path / "maps" / "trainA", 5)
    copied: list[Path] = []

    def copy(path: Path, folder: Path) -> None:
        if len(copied) == 2:
            raise OSError("full")
        (folder / path.name).write_bytes(path.read_bytes())
        copied.append(path)

    with monkeypatch.context() as broken:
        broken.setattr(dcgan_study.shutil, "copy", copy)
        with pytest.raises(OSError, match="full"):
            dcgan_study.build_tiles(tmp_path)
    assert not (tmp_path / "tiles3").exists()
    few, held_out = dcgan_study.build_tiles(tmp_path)
    assert sorted(path.name for path in few.iterdir()) == ["00.png", "02.png", "04.png"]
    assert held_out == tmp_path / "maps" / "testA"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maps", "tiles3"]
