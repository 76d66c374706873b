"""Which folder the results of a test get, and what happens to earlier results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from util.evaluation.results_folder import RECORD, ResultsFolder

OPTIONS: dict[str, Any] = {
    **{"run": "/c/run", "model": "cycle_gan", "model_suffix": "", "direction": "AtoB", "dataroot": "/d/maps"},
    **{"num_test": 50, "eval": False, "dataset_mode": "unaligned", "crop_size": 256, "load_size": 256},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results" / "run" / "test_latest"


def test(folder: Path, picture: str = "a.png", **changed: Any) -> Path:
    """The folder of a complete test with one picture."""
    results = ResultsFolder(folder, OPTIONS | changed)
    (results.partial / picture).write_text("")
    return results.publish()[0]


test.__test__ = False  # type: ignore[attr-defined]


def content(folder: Path) -> dict[str, set[str]]:
    """The pictures in each folder of results."""
    return {
        path.name: {file.name for file in path.iterdir() if file.name != RECORD} for path in folder.parent.iterdir()
    }


def test_a_repetition_replaces_the_earlier_results(folder: Path) -> None:
    assert test(folder, "a.png") == test(folder, "b.png") == folder
    assert content(folder) == {"test_latest": {"b.png"}}


@pytest.mark.parametrize(
    ("changed", "suffix"),
    [
        ({"direction": "BtoA"}, "direction_BtoA"),
        ({"num_test": 7}, "num_test_7"),
        ({"eval": True}, "eval"),
        ({"dataroot": "/d/my photos"}, "dataroot_my_photos"),
        ({"run": "/elsewhere/run"}, "run_run"),
        ({"crop_size": 64, "load_size": 64}, "crop_size_64"),
        ({"model": "test", "model_suffix": "_A", "dataset_mode": "single"}, "model_test_model_suffix_A"),
        ({"model_suffix": "é/\\:"}, "model_suffix"),
    ],
)
def test_another_test_gets_a_folder_that_names_the_difference(
    folder: Path, changed: dict[str, Any], suffix: str
) -> None:
    test(folder, "a.png")
    results = ResultsFolder(folder, OPTIONS | changed)
    target, note = results.publish()
    assert target == Path(f"{folder}_{suffix}")
    assert f"{folder} has the results of a test with another " in note
    assert test(folder, "b.png", **changed) == target  # its own repetition
    assert content(folder) == {"test_latest": {"a.png"}, target.name: {"b.png"}}


def test_different_tests_with_equal_names_do_not_meet(folder: Path) -> None:
    names = [test(folder, dataroot=f"/d/{place}/photos").name for place in (1, 2, 3, 2)]
    suffixed = "test_latest_dataroot_photos"
    assert names == ["test_latest", suffixed, f"{suffixed}_2", suffixed]


def test_an_interrupted_test_leaves_the_earlier_results(folder: Path) -> None:
    test(folder, "a.png")
    interrupted = ResultsFolder(folder, OPTIONS)
    (interrupted.partial / "half.png").write_text("")
    assert content(folder) == {"test_latest": {"a.png"}, "test_latest_partial": {"half.png"}}
    assert test(folder, "b.png") == folder
    assert content(folder) == {"test_latest": {"b.png"}}


def test_tests_at_the_same_time_do_not_share_a_folder(folder: Path) -> None:
    one, other = ResultsFolder(folder, OPTIONS), ResultsFolder(folder, OPTIONS | {"num_test": 2})
    assert one.partial != other.partial
    record = json.loads((one.partial / RECORD).read_text())
    (one.partial / RECORD).write_text(json.dumps(record | {"pid": os.getppid()}))  # of another process, still running
    third = ResultsFolder(folder, OPTIONS)
    assert third.partial not in (one.partial, other.partial)
    assert other.publish()[0] == folder
    assert one.publish()[0] == Path(f"{folder}_num_test_50")


def test_results_of_an_earlier_version_are_kept(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "old.png").write_text("")
    results = ResultsFolder(folder, OPTIONS)
    target, note = results.publish()
    assert target == folder and "test_latest_earlier" in note
    assert content(folder) == {"test_latest": set(), "test_latest_earlier": {"old.png"}}


def test_a_project_that_was_moved_recognizes_its_results(tmp_path: Path) -> None:
    for place in ("here", "there"):
        paths = {"run": str(tmp_path / place / "checkpoints/run"), "dataroot": str(tmp_path / place / "maps")}
        folder = tmp_path / place / "results" / "run" / "test_latest"
        if place == "there":
            (tmp_path / "here").rename(tmp_path / "there")
        folder.parent.mkdir(parents=True, exist_ok=True)
        assert test(folder, **paths) == folder
        assert len(content(folder)) == 1


def test_other_ranks_join_the_folder_of_rank_0(folder: Path) -> None:
    main = ResultsFolder(folder, OPTIONS)
    assert ResultsFolder(folder, OPTIONS, main.partial).partial == main.partial
    assert content(folder) == {"test_latest_partial": set()}
