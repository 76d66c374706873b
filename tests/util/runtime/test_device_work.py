"""Measuring the work of a device without waiting for it."""

from __future__ import annotations

import pytest
import torch

from util.runtime.device_work import DeviceWork


def test_on_a_cpu_nothing_is_queued() -> None:
    work = DeviceWork("cpu")
    work.begin()
    work.end()
    assert work.seconds() == 0 and DeviceWork.is_measurable("cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_time_of_queued_work_is_measured_once_it_is_done() -> None:
    work = DeviceWork("cuda")
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work.begin()
        torch.cuda._sleep(1_000_000_000)  # clock cycles: about half a second
        work.end()
        assert work.seconds() is None
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    seconds = work.seconds()
    assert seconds is not None and 0.1 < seconds < 5
