"""The list of checks of scripts/gpu_check.py, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scripts.gpu_checks.graphs import graph_check
from scripts.gpu_checks.resuming import resume_check
from scripts.gpu_checks.setting import Setting
from scripts.gpu_checks.training import TOLERANCES, step_check
from scripts.gpu_checks.translating import translation_check

BF16, TF32 = ("--precision", "bf16"), ("--precision", "tf32_conv")
JOINT, SEPARATE = ("--joint_passes", "on"), ("--joint_passes", "off")
COMPILE = ("--compile",)


@dataclass
class Check:
    """A check: `run` returns what it found, and raises an exception if that is wrong."""

    name: str
    run: Callable[[Setting], str]
    needs_gpu: bool = False
    compiles: bool = False  # takes minutes


def all_checks(size: int) -> list[Check]:
    """All checks, for images of `size` pixels."""
    # First the checks with --deterministic, as cuBLAS reads its settings only once.
    return [*_resume(), *_precisions(), *_options(), *_models(size), *_translations(), *_graphs(), *_compiled()]


def _resume() -> Iterator[Check]:
    yield Check("resume with --deterministic", resume_check("--deterministic", required=True))
    yield Check("resume bf16 with --deterministic", resume_check("--deterministic", *BF16, required=True))
    yield Check("resume without --deterministic (not required)", resume_check(required=False))


def _precisions() -> Iterator[Check]:
    """A default step in each precision, and steps with other passes and memory formats."""
    for precision in TOLERANCES:
        yield Check(f"step {precision}", step_check("--precision", precision))
    for name, flags in {"tf32_conv": TF32, "bf16": BF16}.items():
        yield Check(f"step {name}, joint passes", step_check(*flags, *JOINT))
        yield Check(f"step {name}, separate passes", step_check(*flags, *SEPARATE))
        yield Check(f"step {name}, channels last", step_check(*flags, "--channels_last"))
    yield Check("step fp32, deterministic", step_check("--precision", "fp32", "--deterministic"))


def _options() -> Iterator[Check]:
    """A step with options that add operations of their own. Large batches would take long on a CPU."""
    yield Check("step with EMA", step_check("--ema_decay", "0.999"))
    yield Check("step with DiffAugment", step_check("--augment", "diffaug", compared=False))
    yield Check("step of batch 8", step_check("--batch_size", "8", compared=False))
    yield Check(
        "step of batch 4 in micro-batches", step_check("--batch_size", "4", "--accumulate", "2", compared=False)
    )
    yield Check("step with gradient checkpointing", step_check("--grad_checkpoint"))
    yield Check("step wgangp", step_check("--gan_mode", "wgangp", compared=False))
    yield Check("step vanilla", step_check("--gan_mode", "vanilla"))
    yield Check("step with batch norm", step_check("--norm", "batch"))


def _models(size: int) -> Iterator[Check]:
    """The other models. Most draw random numbers on the device, so their losses differ from those of the CPU."""
    unet = ("--netG", f"unet_{size}") if size in (128, 256) else ("--netG", "resnet_6blocks")
    models: dict[str, tuple[str, ...]] = {
        "cut": ("--model", "cut"),
        "FastCUT": ("--model", "cut", "--CUT_mode", "FastCUT"),
        "pix2pix": ("--model", "pix2pix", *unet),
        "colorization": ("--model", "colorization", *unet),
        "pix2pix_hd": ("--model", "pix2pix_hd"),
        "dcgan": ("--model", "dcgan", "--batch_size", "16"),
    }
    for name, flags in models.items():
        for precision in ("tf32_conv", "bf16", "fp16"):
            check = step_check(*flags, "--precision", precision, compared=name == "pix2pix_hd")
            yield Check(f"step {name} {precision}", check)


def _translations() -> Iterator[Check]:
    for precision in TOLERANCES:
        yield Check(f"translation {precision}", translation_check(precision))


def _graphs() -> Iterator[Check]:
    checks = {
        "fp32": graph_check("--precision", "fp32"),
        "tf32_conv": graph_check(*TF32),
        "bf16": graph_check(*BF16, least_speed=1),
        "separate passes": graph_check(*TF32, *SEPARATE),
        "EMA": graph_check(*TF32, "--ema_decay", "0.999"),
        "pix2pix": graph_check("--model", "pix2pix", "--netG", "resnet_6blocks", "--no_dropout", *TF32),
        "pix2pix_hd": graph_check("--model", "pix2pix_hd", *TF32),
    }
    for name, check in checks.items():
        yield Check(f"graphs {name}", check, needs_gpu=True)


def _compiled() -> Iterator[Check]:
    """Steps with --compile, for every kind of objective that is compiled differently."""
    variants: dict[str, tuple[str, ...]] = {
        "tf32_conv": TF32,
        "bf16": BF16,
        "separate passes": (*TF32, *SEPARATE),
        "gradient checkpointing": ("--grad_checkpoint",),
    }
    for name, flags in variants.items():
        yield Check(f"compile {name}", step_check(*COMPILE, *flags), compiles=True)
    for name, flags in {"wgangp": ("--gan_mode", "wgangp"), "cut": ("--model", "cut")}.items():
        yield Check(f"compile {name}", step_check(*COMPILE, *flags, compared=False), compiles=True)
