"""What is known about devices that this machine need not have, and the notes on --precision that follow from it."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest
import torch

from util.runtime import capabilities
from util.runtime.precision import Precision, resolve_precision

CPU, GPU, MPS = torch.device("cpu"), torch.device("cuda"), torch.device("mps")


def set_gpu(
    monkeypatch: pytest.MonkeyPatch, *, capability: tuple[int, int], hip: str | None = None, name: str = ""
) -> None:
    """Make torch report a GPU with this compute capability, of AMD with a version of HIP."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(gcnArchName=name))
    monkeypatch.setattr(torch.version, "hip", hip)


def set_processor(monkeypatch: pytest.MonkeyPatch, *, amx: bool, avx512: bool, machine: str = "x86_64") -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(platform, "machine", lambda: machine)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the settings of the process that Precision changes."""
    monkeypatch.setattr(Precision, "_selected", "")
    monkeypatch.setattr(torch.amp, "GradScaler", lambda *args, **settings: None)  # it would look for a GPU


@pytest.mark.parametrize(
    ("capability", "hip", "name", "tf32", "bf16"),
    [
        ((7, 5), None, "", False, "slow"),  # T4
        ((8, 0), None, "", True, "fast"),  # A100
        ((12, 0), None, "", True, "fast"),
        ((9, 0), "6.2", "gfx90a:sramecc+:xnack-", False, "fast"),  # MI200
        ((9, 4), "6.2", "gfx942:sramecc+:xnack-", False, "fast"),  # MI300
        ((9, 0), "6.2", "gfx906:sramecc+:xnack-", False, "unknown"),  # MI50: 9.0 is not Hopper here
        ((11, 0), "6.2", "gfx1100", False, "unknown"),
    ],
)
def test_capabilities_of_gpus(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], hip: str | None, name: str, tf32: bool, bf16: str
) -> None:
    set_gpu(monkeypatch, capability=capability, hip=hip, name=name)
    assert capabilities.has_tf32(GPU) is tf32 and capabilities.bf16_speed(GPU) == bf16
    assert resolve_precision("auto", GPU) == ("tf32_conv" if tf32 else "fp32")
    notes = [Precision(name, GPU).advice for name in ("fp32", "tf32_conv", "tf32")]
    assert all(("bf16" in note) == (bf16 == "fast") for note in notes)
    assert ("tf32_conv" in notes[0]) == tf32
    assert bool(Precision("bf16", GPU).note) == (bf16 == "slow") and Precision("bf16", GPU).advice == ""
    assert bool(Precision("tf32", GPU).note) == (not tf32)


@pytest.mark.parametrize(
    ("amx", "avx512", "machine", "speed", "advice"),
    [
        (True, True, "x86_64", "fast", "note: --precision bf16 trains faster on this processor, which has AMX"),
        (False, True, "AMD64", "fast", "note: --precision bf16 trains faster on this processor, which has AVX512-BF16"),
        (False, False, "x86_64", "slow", ""),
        (False, False, "aarch64", "unknown", ""),
    ],
)
def test_bf16_is_advised_on_processors_that_have_it(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, machine: str, speed: str, advice: str
) -> None:
    set_processor(monkeypatch, amx=amx, avx512=avx512, machine=machine)
    assert capabilities.bf16_speed(CPU) == speed
    assert Precision("auto", CPU).name == "fp32" and Precision("auto", CPU).advice == advice
    bf16 = Precision("bf16", CPU)
    assert bf16.advice == "" and bool(bf16.note) == (speed == "slow")


def test_a_torch_without_these_checks_knows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert capabilities.bf16_instructions() == ""


def test_mps_computes_in_fp32_without_advice() -> None:
    precision = Precision("auto", MPS)
    assert precision.name == "fp32" and precision.note == precision.advice == ""
    assert Precision("tf32", MPS).note.startswith("note: --precision tf32 has no effect on this device")


@pytest.mark.parametrize(
    ("name", "matmul", "convolution"),
    [("fp32", "highest", False), ("tf32_conv", "highest", True), ("tf32", "high", True), ("bf16", "highest", False)],
)
def test_where_products_may_be_rounded(name: str, matmul: str, convolution: bool) -> None:
    precision = Precision(name, CPU)
    Precision("tf32" if name != "tf32" else "fp32", CPU)  # another one takes its turn
    with precision.autocast():
        assert torch.get_float32_matmul_precision() == matmul
        assert torch.backends.cudnn.allow_tf32 is convolution


@pytest.mark.parametrize("device", [CPU, MPS, GPU])
@pytest.mark.parametrize("name", ["fp32", "tf32", "tf32_conv", "bf16", "fp16"])
def test_a_given_precision_stays(name: str, device: torch.device) -> None:
    assert resolve_precision(name, device) == name
