"""Other names for options and values: of earlier CycleGAN, pix2pix, pix2pixHD and CUT code, and of users."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Flags = Sequence[str]


@dataclass(frozen=True)
class Earlier:
    """What replaces an option of earlier code."""

    new: Callable[[str], Flags]  # from the value ("" without one) to the flags and values that replace it
    has_value: bool = True
    why: str = ""  # why nothing replaces it, for a replacement without flags


def normalized(name: str) -> str:
    """A name without the differences that do not matter: case, hyphens and underscores."""
    return re.sub(r"[-_ ]", "", name).lower()


def _renamed(new: str) -> Earlier:
    return Earlier(lambda value: [f"--{new}", value])


def _switch(*flags: str) -> Earlier:
    return Earlier(lambda value: flags, has_value=False)


def _chosen(on: Flags, off: Flags) -> Earlier:
    """An option whose value 0 or False is `off`, and any other `on`."""
    return Earlier(lambda value: off if value.lower() in ("0", "false") else on)


def _dropped(why: str, has_value: bool = True) -> Earlier:
    return Earlier(lambda value: [], has_value, why)


def _device(value: str) -> Flags:
    return ["--device", f"cuda:{value}" if value.isdigit() else "cpu" if value in ("-1", "cpu") else "cuda"]


def _count(value: str) -> Flags:
    return ["--num_test", "1000000" if value.lower() in ("all", "inf") else value]


ARCHITECTURE = "--netG global and --netG local have the published number of blocks"
INSTANCES = "instance maps and encoded features are not supported"
CONTRAST = "the contrastive loss has the published layers and projection"
SAMPLING = "networks here have no antialiased sampling"

RENAMED = {
    "netG": ("which_model_netG", "model_netG", "generator", "G_model"),
    "netD": ("which_model_netD", "model_netD", "discriminator"),
    "n_epochs": ("niter", "epochs", "num_epochs", "max_epochs", "max_epoch"),
    "n_epochs_decay": ("niter_decay", "epochs_decay", "decay_epochs", "decay_epoch"),
    "crop_size": ("fineSize",),
    "load_size": ("scale_size", "resize"),
    "direction": ("which_direction",),
    "lambda_identity": ("identity", "lambda_idt", "lambda_id", "lambda_ident", "lambda_identity_loss"),
    "num_threads": ("nThreads", "num_workers", "n_workers", "workers", "n_cpu", "threads"),
    "batch_size": ("bs", "batch", "train_batch_size"),
    "preprocess": ("resize_or_crop",),
    "epoch": ("which_epoch", "load_epoch", "test_epoch"),
    "phase": ("which_phase", "split"),
    "max_dataset_size": ("ntrain", "max_samples", "max_train_samples"),
    "dataroot": ("data", "data_dir", "data_path", "dataset", "dataset_dir", "dataset_path"),
    "init_from": ("load_pretrain", "pretrained_name", "pretrained", "pretrained_path", "load_weights", "weights"),
    "norm": ("normG", "norm_G", "norm_layer", "norm_type"),
    "update_html_freq": ("save_display_freq",),
    "display_ncols": ("display_single_pane_ncols",),
    "lr": ("learning_rate", "lr_G", "base_lr"),
    "beta1": ("adam_beta1", "b1"),
    "dataset_mode": ("align_mode", "dataset_type"),
    "wandb_project_name": ("wandb_project",),
    "display_port": ("visdom_port", "port"),
    "display_server": ("visdom_server",),
    "n_layers_D": ("n_layers", "num_layers_D"),
    "ngf": ("G_filters", "gf_dim"),
    "ndf": ("D_filters", "df_dim"),
    "input_nc": ("in_channels", "input_channels", "nc_in"),
    "output_nc": ("out_channels", "output_channels", "nc_out"),
    "lambda_L1": ("L1_lambda", "lambda_l1_loss", "L1_weight"),
    "accumulate": ("grad_accum", "gradient_accumulation_steps", "accumulation_steps", "grad_accumulation"),
    "gan_mode": ("gan_loss", "gan_type", "loss_type"),
    "save_epoch_freq": ("checkpoint_interval", "save_freq", "save_interval"),
    "time_limit": ("max_minutes",),
    "ema_decay": ("ema",),
    "config": ("cfg", "conf", "config_file"),
    "aspect_ratio": ("aspect",),
}
EARLIER: dict[str, Earlier] = {
    **{normalized(old): _renamed(new) for new, names in RENAMED.items() for old in names},
    **{
        normalized(old): earlier
        for old, earlier in {
            # The number of images to test.
            **dict.fromkeys(("how_many", "ntest", "n_test", "num_samples"), Earlier(_count)),
            # Switches.
            "no_lsgan": _switch("--gan_mode", "vanilla"),
            "lsgan": _switch("--gan_mode", "lsgan"),
            "wgan_gp": _switch("--gan_mode", "wgangp"),
            "use_lsgan": _chosen(["--gan_mode", "lsgan"], ["--gan_mode", "vanilla"]),
            "use_dropout": _switch("--dropout"),
            "flip": _chosen([], ["--no_flip"]),
            "align_data": _chosen(["--dataset_mode", "aligned"], ["--dataset_mode", "unaligned"]),
            "no_ganFeat_loss": _switch("--lambda_feat", "0"),
            "no_vgg_loss": _switch("--lambda_vgg", "0"),
            "no_gan_loss": _switch("--lambda_GAN", "0"),
            "no_idt": _switch("--lambda_identity", "0"),
            **dict.fromkeys(("tf_log", "tensorboard", "use_tb", "tb"), _switch("--use_tensorboard")),
            "wandb": _switch("--use_wandb"),
            **dict.fromkeys(("fp16", "amp", "half", "use_amp", "mixed_precision"), _switch("--precision", "fp16")),
            "bf16": _switch("--precision", "bf16"),
            **dict.fromkeys(("resume", "continue", "resume_training", "restart"), _switch("--continue_train")),
            "no_visdom": _switch("--display_id", "0"),
            "shuffle": _dropped("images are shuffled without --serial_batches", has_value=False),
            "debug": _switch("--max_dataset_size", "10", "--n_epochs", "1", "--n_epochs_decay", "0"),
            # The device.
            **dict.fromkeys(("gpu", "gpu_id", "gpus", "device_id"), Earlier(_device)),
            **dict.fromkeys(("cuda", "use_cuda", "use_gpu"), _switch("--device", "cuda")),
            **dict.fromkeys(("cpu", "no_cuda", "use_cpu", "no_gpu"), _switch("--device", "cpu")),
            "data_type": Earlier(lambda value: ["--precision", "fp16" if value == "16" else "fp32"]),
            # One option that is two here.
            **dict.fromkeys(
                ("image_size", "img_size", "imageSize", "imsize", "size", "input_size", "resolution"),
                Earlier(lambda value: ["--load_size", value, "--crop_size", value]),
            ),
            **dict.fromkeys(
                ("lambda_cycle", "lambda_cyc", "cycle_lambda", "lambda_rec"),
                Earlier(lambda value: ["--lambda_A", value, "--lambda_B", value]),
            ),
            # What has no option here.
            "local_rank": _dropped("torchrun tells each process its rank"),
            "cudnn": _dropped("cuDNN is always used"),
            "beta2": _dropped("beta2 of Adam is 0.999, as published"),
            "evaluation_freq": _dropped("networks are evaluated by test.py"),
            "easy_label": _dropped("it changed the title of a page only"),
            "isTrain": _dropped("train.py trains and test.py tests", has_value=False),
            **dict.fromkeys(("no_antialias", "no_antialias_up"), _dropped(SAMPLING, has_value=False)),
            **dict.fromkeys(("nce_layers", "netF", "nce_includes_all_negatives_from_minibatch"), _dropped(CONTRAST)),
            **dict.fromkeys(
                ("n_downsample_global", "n_blocks_global", "n_blocks_local", "n_local_enhancers"),
                _dropped(ARCHITECTURE),
            ),
            **dict.fromkeys(
                ("no_instance", "instance_feat", "label_feat", "load_features"), _dropped(INSTANCES, has_value=False)
            ),
            **dict.fromkeys(("feat_num", "n_downsample_E", "nef", "n_clusters", "cluster_path"), _dropped(INSTANCES)),
        }.items()
    },
}

# Options of earlier code for the folder that a program writes to, which train.py and test.py name differently.
OUTPUT = tuple(
    map(normalized, ("out", "output", "output_dir", "out_dir", "outdir", "save_dir", "result_dir", "results"))
)

# Values of options here, by the option's name and the normalized value. A replacement may bring further flags.
VALUES: dict[str, dict[str, Flags]] = {
    "model": {
        **dict.fromkeys(("cyclegan", "cyclegans", "cyclegn", "cycle", "unpaired", "cycleganmodel"), ("cycle_gan",)),
        **dict.fromkeys(("pix2pixgan", "pixel2pixel", "p2p", "paired", "pixtopix", "pix2pixmodel"), ("pix2pix",)),
        **dict.fromkeys(("pix2pixhd", "p2phd", "pixhd", "pix2pixhdmodel"), ("pix2pix_hd",)),
        "fastcut": ("cut", "--CUT_mode", "FastCUT"),
        **dict.fromkeys(("contrastive", "patchnce", "cutmodel"), ("cut",)),
        **dict.fromkeys(("onedirectiontest", "single", "testmodel"), ("test",)),
        **dict.fromkeys(("colorize", "colourization", "colourisation", "colorisation"), ("colorization",)),
    },
    "netG": {
        **dict.fromkeys(("resnet", "resnet9", "resnet9block", "9blocks", "resnet9b"), ("resnet_9blocks",)),
        **dict.fromkeys(("resnet6", "resnet6block", "6blocks", "resnet6b"), ("resnet_6blocks",)),
        "unet": ("unet_256",),
    },
    "netD": {
        **dict.fromkeys(("patch", "patchgan", "70x70", "nlayerdiscriminator"), ("basic",)),
        **dict.fromkeys(("nlayer", "layers"), ("n_layers",)),
        **dict.fromkeys(("pixelgan", "1x1"), ("pixel",)),
    },
    "norm": {
        **dict.fromkeys(("in", "instancenorm", "instancenorm2d", "inst"), ("instance",)),
        **dict.fromkeys(("bn", "batchnorm", "batchnorm2d"), ("batch",)),
        **dict.fromkeys(("syncbn", "sync", "synchronized"), ("syncbatch",)),
        **dict.fromkeys(("no", "identity", "false", "off"), ("none",)),
    },
    "gan_mode": {
        **dict.fromkeys(("ls", "mse", "leastsquares"), ("lsgan",)),
        **dict.fromkeys(("bce", "gan", "dcgan", "nonsaturating", "ce", "original"), ("vanilla",)),
        **dict.fromkeys(("wgan", "gp"), ("wgangp",)),
    },
    "lr_policy": {**dict.fromkeys(("lambda", "decay"), ("linear",)), "cosineannealing": ("cosine",)},
    "dataset_mode": {
        **dict.fromkeys(("unpaired", "cyclegan", "unalign"), ("unaligned",)),
        **dict.fromkeys(("paired", "align", "pix2pix", "pairs"), ("aligned",)),
        **dict.fromkeys(("test", "folder", "one"), ("single",)),
        **dict.fromkeys(("colorize", "colourization"), ("colorization",)),
    },
    "direction": {
        **dict.fromkeys(("a2b", "ab", "a->b", "forward"), ("AtoB",)),
        **dict.fromkeys(("b2a", "ba", "b->a", "backward"), ("BtoA",)),
    },
    "preprocess": {
        **dict.fromkeys(("resize", "resizecrop", "resizeandcropping"), ("resize_and_crop",)),
        **dict.fromkeys(("scalewidthcrop",), ("scale_width_and_crop",)),
        **dict.fromkeys(("no", "off", "false"), ("none",)),
    },
    "device": {
        **dict.fromkeys(("gpu",), ("cuda",)),
        **{str(number): (f"cuda:{number}",) for number in range(16)},
        **{f"gpu{number}": (f"cuda:{number}",) for number in range(16)},
        **{f"cuda{number}": (f"cuda:{number}",) for number in range(16)},
        **dict.fromkeys(("-1", "none"), ("cpu",)),
    },
    "precision": {
        **dict.fromkeys(("16", "float16", "half", "amp", "mixed"), ("fp16",)),
        **dict.fromkeys(("32", "float32", "full", "float"), ("fp32",)),
        **dict.fromkeys(("bfloat16",), ("bf16",)),
    },
    "cache": {**dict.fromkeys(("memory", "mem"), ("ram",)), "ssd": ("disk",)},
}
VALUES["norm_D"] = VALUES["norm"]
