"""An error in a phase while the gradients of the phase before are still being averaged with other processes."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import torch

from tests.conftest import Options
from tests.models.test_graphed_step import build, train
from util.errors import UserError
from util.runtime.processes import Bucket, Reduction


class Work:
    """A collective whose peer has ended."""

    timeout: datetime.timedelta | None = None

    def wait(self, timeout: datetime.timedelta | None = None) -> None:
        self.timeout = timeout
        raise RuntimeError("connection closed by peer")


def test_an_abandoned_exchange_is_waited_for_a_short_time() -> None:
    work = Work()
    Reduction([Bucket([], torch.zeros(1), work)]).abandon()
    assert work.timeout is not None and work.timeout.total_seconds() <= 10


def test_an_error_abandons_the_exchange_of_the_phase_before(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    model, work = build(options), Work()
    step = model.training_step
    accumulate = step._accumulate

    def fail_in_second(phase: Any, *arguments: Any) -> Any:
        if phase is step.phases[1]:
            raise UserError("images of several sizes")
        return accumulate(phase, *arguments)

    monkeypatch.setattr(step, "_accumulate", fail_in_second)
    monkeypatch.setattr(step, "_start_all_reduce", lambda *_: Reduction([Bucket([], torch.zeros(1), work)]))
    with pytest.raises(UserError, match="several sizes"):
        train(model, 1)
    assert work.timeout is not None
