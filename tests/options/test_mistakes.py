"""Mistakes that users make, and the error message of each."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train
from data import create_dataset
from models import create_model
from options import TestOptions, TrainOptions
from tests.conftest import SMALL, write_tiles
from util.errors import UserError
from util.runs.init_from import load_initial_weights
from util.runs.run import Run
from util.runs.weights import save_weights

ROOT = Path(__file__).resolve().parents[2]
TINY = shlex.join([*SMALL, "--ngf", "1", "--ndf", "1"])
ENDINGS = ".png, .jpg, .jpeg, .jpe, .jfif, .webp, .bmp, .tif, .tiff, .ppm, .pgm, .pbm, .pnm"

# Flags (after --dataroot tiles, unless they override it), and the error message; ~ is any text.
TRAINING = {
    # Flags that do not exist, or have no value.
    "--lambda_a 5": "--lambda_a 5 is written --lambda_A 5 here; type: ~ --lambda_A 5",
    "--n-epochs 5": "--n-epochs 5 is written --n_epochs 5 here; type: ~ --n_epochs 5",
    "--n_epoch=5": "unknown option --n_epoch; did you mean --n_epochs?",
    "--wibble": "unknown option --wibble; --help lists all options",
    "--name": "--name: a value must follow it (with an equals sign if it begins with a hyphen: --name=VALUE)",
    "horses": "unexpected argument 'horses': each value must follow its flag, and --device takes one",
    "--results_dir x": "--results_dir is an option of test.py, not of train.py",
    # Values out of range, or of another kind.
    "--lr 0": "--lr: must be above 0, not 0",
    "--lr fast": "--lr: must be a number, not 'fast'",
    "--lr nan": "--lr: must be a number, not 'nan'",
    "--n_epochs ten": "--n_epochs: must be an integer, not 'ten'",
    "--n_epochs 1e2": "--n_epochs: must be an integer, not '1e2': use 100",
    f"--n_epochs 1{'0' * 400}": "--n_epochs: the number is too large",
    "--batch_size 0": "--batch_size: must be at least 1, not 0",
    "--batch_size 1.5": "--batch_size: must be an integer, not '1.5'",
    "--beta1 1": "--beta1: must be at least 0 and at most 0.999, not 1",
    "--lambda_A -1": "--lambda_A: must be at least 0, not -1",
    "--display_port 99999": "--display_port: must be at least 1 and at most 65535, not 99999",
    "--seed -3": "--seed: must be at least 0 and at most 2147483647, not -3",
    # Choices.
    "--netG resnet_50": "--netG: resnet_50 is unknown: choose one of resnet_9blocks, ~unet_128~",
    "--direction C": "--direction: must be one of AtoB, BtoA, not 'C'",
    "--device tpu": "--device: must be auto, cpu, mps, cuda, or a GPU such as cuda:0, not 'tpu'",
    "--gpu_ids none": "--gpu_ids none: must be the number of a GPU, or -1 for the CPU",
    "--gpu_ids 0 --device cpu": "--gpu_ids 0 and --device cpu both choose the device: give only one",
    "--model gan": "--model gan is unknown: choose one of ~cycle_gan, ~, or your own as package.module:Class",
    "--model my_package.mine:Model": "--model my_package.mine:Model: no module my_package is found in this folder or "
    "on PYTHONPATH",
    "--model json:Model": "--model json:Model: module json has no Model",
    "--model json:JSONDecoder": "--model json:JSONDecoder: <class 'json.decoder.JSONDecoder'> is not a subclass of "
    "models.BaseModel",
    "--model test": "--model test can't be trained: it only translates, with test.py",
    "--dataset_mode mixed": "--dataset_mode mixed is unknown: choose one of aligned, ~single, unaligned, or "
    "your own as package.module:Class",
    "--cache tape": "--cache: must be one of none, ram, disk, not 'tape'",
    "--translate A": "--translate is an option of test.py, not of train.py",
    # Options that do not go together.
    "--load_size 128": "--load_size 128 is smaller than --crop_size 256, so --preprocess resize_and_crop can't crop: "
    "use --load_size 256 or larger",
    "--preprocess scale_width_and_crop --load_size 200": "--load_size 200 is smaller than --crop_size 256~",
    "--crop_size 250": "--crop_size 250 does not fit --netG resnet_9blocks, which needs a multiple of 4 and at least "
    "8: use 248, or another --netG",
    "--crop_size 4 --netD pixel": "--crop_size 4 does not fit --netG resnet_9blocks, which needs a multiple of 4 and "
    "at least 8: use 8, or another --netG",
    "--netG unet_256 --crop_size 300 --load_size 320": "--crop_size 300 does not fit --netG unet_256, which needs a "
    "multiple of 256 and at least 256: use 256, or another --netG",
    "--netG unet_128 --crop_size 64": "--crop_size 64 does not fit --netG unet_128, which needs a multiple of 128 "
    "and at least 128: use 128, or another --netG",
    "--crop_size 16": "--crop_size 16 is too small for --netD basic with 3 layers, which needs 24: use --netD n_layers "
    "with a smaller --n_layers_D, or --netD pixel",
    "--netD n_layers --n_layers_D 7": "--crop_size 256 is too small for --netD n_layers with 7 layers, which needs "
    "384~",
    "--input_nc 1": "--lambda_identity 0.5 needs equal channel counts, not --input_nc 1 and --output_nc 3: use "
    "--lambda_identity 0",
    "--lambda_color 2 --input_nc 1 --lambda_identity 0": "--lambda_color 2.0 compares colors, and --input_nc 1 and "
    "--output_nc 3 are not both 3: use --lambda_color 0",
    "--lambda_A 0 --lambda_B 0 --lambda_GAN 0": "--lambda_A, --lambda_B and --lambda_GAN are all 0: there is nothing "
    "to learn; set one of them above 0",
    "--lambda_A 0 --lambda_B 0 --lambda_GAN 0 --lambda_color 1": "--lambda_A, --lambda_B and --lambda_GAN are all 0: "
    "--lambda_color alone does not define an image; set one of them above 0",
    "--augment diffaug --lambda_GAN 0": "--augment diffaug needs discriminators, and --lambda_GAN 0 has none: use "
    "--augment basic",
    "--model dcgan --crop_size 100 --load_size 100": "--crop_size 100: --model dcgan generates images of 32, 64, 128 "
    "or 256 pixels",
    **{
        f"--model dcgan --dataset_mode {mode}": f"--dataset_mode {mode} is for models that translate images, and "
        "--model dcgan generates them from noise: use --dataset_mode single"
        for mode in ("aligned", "colorization", "template", "unaligned")
    },
    "--model dcgan --preprocess none": "--preprocess none does not crop, and --model dcgan needs squares: use "
    "resize_and_crop",
    "--model dcgan --netG unet_128": "--netG is an option of --model colorization, cut, cycle_gan, ~",
    "--model dcgan --dataset_mode latent": "--dataset_mode latent has no images to train on: use it with test.py and "
    "--model dcgan",
    **{
        f"--model {model} --dataset_mode unaligned": f"--dataset_mode unaligned pairs images at random, and --model "
        f"{model} learns from true pairs: use --dataset_mode aligned"
        for model in ("pix2pix", "pix2pix_hd")
    },
    **{
        f"--model colorization --dataset_mode {mode}": f"--dataset_mode {mode} does not separate lightness and color, "
        "which --model colorization needs: use --dataset_mode colorization"
        for mode in ("aligned", "single", "template", "unaligned")
    },
    "--model colorization --direction BtoA": "--direction BtoA: --dataset_mode colorization has one direction only: "
    "use --direction AtoB",
    "--model colorization --input_nc 3": "--input_nc 3 and --output_nc 2: --dataset_mode colorization has 1 channel "
    "of lightness and 2 of color: use --input_nc 1 and --output_nc 2",
    "--model colorization": "--dataroot tiles contains testA, testB, trainA, trainB: expected train in it (see "
    "--phase)",
    "--augment flips": "--augment: must be one of none, basic, diffaug, not 'flips'",
    "--model template --dataset_mode template --input_nc 1 --lambda_near 0": "--input_nc 1 and --output_nc 3 must be "
    "equal: A is made of B",
    "--model pix2pix --lambda_L1 0 --lambda_GAN 0": "--lambda_L1 and --lambda_GAN are both 0: there is nothing to "
    "learn",
    **{
        f"--model {model} --dataset_mode aligned --label_nc 35": f"--label_nc 35: --model {model} takes images, not "
        "class ids: use --model pix2pix or pix2pix_hd"
        for model in ("cycle_gan", "cut", "template")
    },
    "--model pix2pix --label_nc 300": "--label_nc: must be at least 0 and at most 256, not 300",
    "--model pix2pix --label_nc 35 --input_nc 4": "--input_nc 4: --label_nc 35 sets the input channels: remove "
    "--input_nc",
    "--model pix2pix --dataroot joined --label_nc 35": "--label_nc 35 needs two folders, joined/trainA and "
    "joined/trainB: class ids and an image can't be side by side, as in joined/train",
    "--model pix2pix --dataroot empty": "--dataroot empty contains nothing: expected trainA and trainB in it (see "
    "--phase); or empty/train, where each image has A and B side by side",
    "--model pix2pix_hd --crop_size 40 --load_size 40": "--crop_size 40 does not fit --netG global, which needs a "
    "multiple of 16 and at least 32: use 32, or another --netG",
    "--model pix2pix_hd --crop_size 32 --load_size 32": "--crop_size 32 is too small for --netD basic with 3 layers "
    "at 2 scales, which needs 48: use --netD n_layers with a smaller --n_layers_D, or a smaller --num_D",
    "--model pix2pix_hd --netD pixel": "--netD pixel has no layers to match: use basic or n_layers with --model "
    "pix2pix_hd",
    "--model pix2pix_hd --niter_fix_global 3": "--niter_fix_global 3 needs --netG local: global has no global part",
    "--model pix2pix_hd --netG local --niter_fix_global 3": "--niter_fix_global 3 freezes the global part, which "
    "needs trained weights from a run of --netG global: add --init_from RUN --init_partial",
    "--model pix2pix_hd --lambda_vgg 5 --output_nc 1": "--lambda_vgg 5.0 needs color images, not --output_nc 1",
    "--model cut --lambda_NCE 0 --lambda_GAN 0": "--lambda_GAN and --lambda_NCE are both 0: there is nothing to learn",
    "--model cut --netG unet_256": "--netG unet_256 has no features for the contrastive loss: --model cut needs a "
    "ResNet, such as --netG resnet_9blocks",
    "--model cut --output_nc 1": "--lambda_NCE 1.0 needs equal channel counts, not --input_nc 3 and --output_nc 1: use "
    "--lambda_NCE 0",
    "--model cut --CUT_mode FasterCUT": "--CUT_mode: must be one of CUT, FastCUT, not 'FasterCUT'; "
    "did you mean FastCUT?",
    "--model cut --nce_idt maybe": "--nce_idt: must be True or False, not 'maybe'",
    "--model cut --config cut.yaml": "--config cut.yaml: nce_idt: must be True or False, not 'perhaps'",
    "--model cut --nce_T 0": "--nce_T: must be above 0, not 0",
    "--n_epochs 0 --n_epochs_decay 0": "--epoch_count 1 is after the last epoch, 0 (--n_epochs plus "
    "--n_epochs_decay): there is nothing to train",
    "--epoch_count 201": "--epoch_count 201 is after the last epoch, 200 (--n_epochs plus --n_epochs_decay): there "
    "is nothing to train",
    "--continue_train --overwrite": "--continue_train resumes the run and --overwrite deletes it: give only one",
    # Names.
    "--name ../../x": "--name '../../x' does not name a folder inside --checkpoints_dir ./checkpoints",
    "--name ..": "--name '..' does not name a folder inside --checkpoints_dir ./checkpoints",
    "--name /tmp/x": "--name '/tmp/x' does not name a folder inside --checkpoints_dir ./checkpoints",
    "--suffix {net}": "--suffix {net}: braces must contain the name of an option, such as {netG} ('net')",
    "--suffix {netG.depth}": "--suffix {netG.depth}: braces must contain the name of an option, such as {netG} (~)",
    "--suffix {": "--suffix {: braces must contain the name of an option, such as {netG} (~)",
    # Files of options.
    "--config nowhere.yaml": "--config nowhere.yaml does not exist",
    "--config options.txt": "--config options.txt: expected a file ending in .yaml or .json",
    "--config broken.yaml": "--config broken.yaml can't be read: ~",
    "--config broken.json": "--config broken.json can't be read: ~",
    "--config binary.yaml": "--config binary.yaml can't be read: ~",
    "--config list.yaml": "--config list.yaml: must contain options and their values, such as n_epochs: 20",
    "--config unknown.yaml": "--config unknown.yaml: unknown option n_epoch; did you mean n_epochs?",
    "--config range.yaml": "--config range.yaml: batch_size: must be at least 1, not 0",
    "--config choice.yaml": "--config choice.yaml: norm: must be one of instance, batch, none, syncbatch, not 'group'",
    "--config switch.yaml": "--config switch.yaml: no_flip: must be true or false, not 'maybe'",
    "--config model.yaml": "--model 5 is unknown: choose one of ~",
    "--config null.yaml": "--config null.yaml: model: must be a single value, not None",
    # Images.
    "--dataroot ''": "--dataroot is required: the folder of your images, which contains trainA and trainB",
    "--dataroot nowhere": "--dataroot nowhere does not exist: expected nowhere/trainA and nowhere/trainB",
    "--dataroot options.txt": "--dataroot options.txt is a file: expected a folder that contains trainA and trainB",
    "--dataroot empty": "--dataroot empty contains nothing: expected trainA and trainB in it (see --phase)",
    "--dataroot flat": "--dataroot flat contains images directly: put them into flat/trainA and flat/trainB (test.py "
    "translates one folder with --model test)",
    "--dataroot nested": "--dataroot nested contains train/A and train/B: rename them to trainA and trainB",
    "--dataroot texts": f"texts/trainA contains no image among its 2 files: expected files ending in {ENDINGS}",
    "--phase val": "--dataroot tiles contains testA, testB, trainA, trainB: expected valA and valB in it (see --phase)",
    # Runs.
    "--name mine": "checkpoints/mine already contains a run: use --continue_train to resume it, --overwrite to "
    "replace it, or --name for a different folder",
    "--name new --continue_train": "--continue_train: checkpoints/new has no checkpoint; omit the flag to start a "
    "new run",
    "--name mine --continue_train --epoch 7": "checkpoints/mine/7_net_G_A.pth is missing: the folder has "
    "--epoch latest",
    "--name mine --continue_train --ngf 2": "--ngf 2: the run has 1, which can't change on resume: start a new run "
    "with the weights that fit: python ~train.py --dataroot tiles --name mine_new --ngf 2 --init_from mine "
    "--init_partial",
    "--name mine --continue_train --direction BtoA": "--direction BtoA: the run has AtoB; add --force to resume it "
    "with other images",
    "--epoch 5 --name new": "--epoch 5 has an effect only with --continue_train or --init_from RUN (the number of "
    "epochs is --n_epochs plus --n_epochs_decay)",
    "--name mine --continue_train --dataroot others": "--dataroot others differs from the dataset that the run was "
    "trained on: trainB had 1 images with ~ bytes in total, and now has 2 with ~ bytes; restore it, or resume with the "
    "changed dataset by --force",
    "--name mine --continue_train --init_from one": "--continue_train resumes a run and --init_from starts a new "
    "one: give only one",
    "--force": "--force has an effect only with --continue_train",
    "--init_partial": "--init_partial has an effect only with --init_from RUN_OR_FILE",
    "--name new --init_from nothing": "--init_from nothing is neither a run in --checkpoints_dir checkpoints nor a "
    "folder nor a file",
    "--name new --init_from mine --epoch 9": "--init_from mine: checkpoints/mine has none of 9_net_G_A.pth, ~; the "
    "folder has --epoch latest",
    "--name new --init_from tiles": "--init_from tiles: tiles has none of latest_net_G_A.pth, latest_net_G_B.pth, "
    "latest_net_D_A.pth, latest_net_D_B.pth",
    "--name new --init_from checkpoints/bare/latest_net_G.pth": "--init_from checkpoints/bare/latest_net_G.pth: the "
    "file name does not contain the name of the network: rename it to latest_net_G_A.pth or latest_net_G_B.pth or "
    "latest_net_D_A.pth or latest_net_D_B.pth",
    "--name new --netG resnet_6blocks --init_from checkpoints/mine/latest_net_G_A.pth": "--init_from "
    "checkpoints/mine/latest_net_G_A.pth fits only partly (netG_A: ~ parameters from "
    "checkpoints/mine/latest_net_G_A.pth; netG_B: no file; ~): add --init_partial to load what fits",
    "--name new --norm batch --init_from mine": "--init_from mine fits only partly (netG_A: ~ missing, ~): the "
    "networks differ by --norm batch (the run has instance): remove that, or add --init_partial to load what fits",
    "--name new --init_from mine --model pix2pix --dataroot joined": "--init_from mine: checkpoints/mine has none of "
    "latest_net_G.pth, ~; the folder has weights of D_A, D_B, G_A, G_B, of another --model",
    "--continue_train --dataroot ''": "--dataroot or --name is required: the folder of your images, or the run to "
    "resume",
    "--epoch ../../x": "--epoch: must be usable in a file name, without / or \\, not '../../x'",
    "--phase ../x": "--phase: must be usable in a file name, without / or \\, not '../x'",
    "--time_limit 0": "--time_limit: must be above 0, not 0: omit the option to switch it off",
    "--name mine --continue_train --lambda_GAN 0": "checkpoints/mine/latest_state.pt has other networks than this "
    "run (net_D_A, net_D_B): resume with the network options the run was started with",
    "--name cut_off --continue_train": "checkpoints/cut_off/latest_state.pt is damaged (its SHA-256 sum does not "
    "match) and there is no fallback checkpoint: resume from the weights of epoch N, with new optimizers, by "
    "--continue_train --epoch N --epoch_count N+1",
    "--checkpoints_dir options.txt": "--checkpoints_dir options.txt: can't create options.txt/tiles_cycle_gan (Not a "
    "directory)",
}
TESTING = {
    "--name colors --model test": "--output_nc 2: two channels of color need the lightness to make an image: test "
    "the run with --model colorization",
    "--name bare --model test --dataset_mode aligned --label_nc 35": "--label_nc 35: --model test takes images, not "
    "class ids: use --model pix2pix or pix2pix_hd",
    "--name noise --dataset_mode unaligned": "--dataset_mode unaligned is for models that translate images, and "
    "--model dcgan generates them from noise: use --dataset_mode latent",
    "--name mine --dataset_mode latent": "--dataset_mode latent is for models that turn noise into images, such as "
    "dcgan, not for --model cycle_gan",
    "--lambda_A 5 --name mine": "--lambda_A is an option of train.py, not of test.py",
    "--name mine --translate C": "--translate: must be one of both, A, B, not 'C'",
    "--name mine --model test --model_suffix _A --translate A": "--translate is an option of --model cycle_gan, not ~",
    "--num_test 0": "--num_test: must be at least 1, not 0: use a large number for all images, such as 1000000",
    "--aspect_ratio 0": "--aspect_ratio: must be above 0, not 0",
    "--checkpoints_dir none": "no run in --checkpoints_dir none was trained on --dataroot tiles: there are no runs "
    "yet, so train first",
    "--dataroot flat": "no run in --checkpoints_dir checkpoints was trained on --dataroot flat: choose one with "
    "--name: bare, colors, cut_off, lost, mine, ~noise, ~page",
    "--checkpoints_dir several": "several runs were trained on --dataroot tiles: choose one with --name: one, two",
    "--checkpoints_dir broken --name one": "broken/one/options.json can't be read: restore it, or delete it and give "
    "the options of the networks as flags",
    "--name his": "--name his: --checkpoints_dir checkpoints has no such run: choose one with --name: bare, ~mine, ~",
    "--name his --checkpoints_dir none": "--name his: --checkpoints_dir none has no such run: there are no runs yet, "
    "so train first",
    "--name lost": "checkpoints/lost/latest_net_G_A.pth is missing: train first, or check --name, --epoch and "
    "--checkpoints_dir",
    "--name mine --epoch 30": "checkpoints/mine/30_net_G_A.pth is missing: ~",
    "--name mine --load_iter 2000": "checkpoints/mine/iter_2000_net_G_A.pth is missing: ~",
    "--name mine --model test --model_suffix /../x": "--model_suffix: must be usable in a file name, without / or "
    "\\, not '/../x'",
    "--name mine --model test": "checkpoints/mine/latest_net_G.pth is missing: the folder has weights of D_A, D_B, "
    "G_A, G_B: add --model_suffix _A or --model_suffix _B",
    "--name mine --netG resnet_9blocks": "checkpoints/mine/latest_net_G_A.pth does not fit the network: 16 missing, "
    "4 unknown and 2 differently shaped parameters (for example model.~); the file fits --netG "
    "resnet_6blocks",
    "--name bare --ngf 1 --netG resnet_6blocks": "checkpoints/bare/latest_net_G.pth does not fit the network: 12 "
    "missing, 12 unknown and 0 differently shaped parameters (for example model.10.conv_block.6.bias); "
    "~--no_dropout~",
    "--name page": "checkpoints/page/latest_net_G_A.pth can't be read as a weight file: ~",
    "--name mine --dataroot flat": "--dataroot flat contains images directly: put them into flat/testA and flat/testB "
    "(test.py translates one folder with --model test)",
    "--name mine --model test --model_suffix _A --dataroot nowhere": "--dataroot nowhere is not a folder: expected a "
    "folder of images",
    "--name mine --crop_size 30": "--crop_size 30 does not fit --netG resnet_6blocks, ~",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with valid and damaged images and runs."""
    root = tmp_path_factory.mktemp("world")
    for name in (
        "tiles/trainA",
        "tiles/trainB",
        "tiles/testA",
        "tiles/testB",
        "flat",
        "nested/train/A",
        "nested/train/B",
        "others/trainA",
        "joined/train",
    ):
        write_tiles(root / name, 1)
    write_tiles(root / "others" / "trainB", 2)
    files = {
        **{"options.txt": "n_epochs: 3\n", "texts/trainA/a.txt": "", "texts/trainA/b.docx": "", "texts/trainB/c": ""},
        **{"broken.yaml": "n_epochs: [1,\n", "broken.json": "{n_epochs: 3}", "list.yaml": "- n_epochs\n- 3\n"},
        **{"unknown.yaml": "n_epoch: 3\n", "range.yaml": "batch_size: 0\n", "choice.yaml": "norm: group\n"},
        **{"switch.yaml": "no_flip: maybe\n", "model.yaml": "model: 5\n", "null.yaml": "model: null\n"},
        **{"cut.yaml": "nce_idt: perhaps\n"},
        **{"binary.yaml": "", "empty/.hidden": ""},
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "binary.yaml").write_bytes(b"\xff\xfe\x00\x80")
    (root / "empty" / ".hidden").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        write_runs()
    return root


def write_runs() -> None:
    """Write runs to the working folder, as training does."""
    options = TrainOptions()
    flags = ["--dataroot", "tiles", *shlex.split(TINY)]
    for folder in (
        "checkpoints/mine",
        "checkpoints/lost",
        "checkpoints/page",
        "several/one",
        "several/two",
        "broken/one",
    ):
        opt = options.parse([*flags, "--checkpoints_dir", Path(folder).parts[0], "--name", Path(folder).name])
        run = Run(opt)
        if folder == "checkpoints/mine":
            model = create_model(opt)
            model.setup(opt)
            run.attach(model, create_dataset(opt))
            with run:  # leaving it waits for background saves into this working folder
                run.save("latest")
            Path("checkpoints/bare").mkdir()
            save_weights({Path("checkpoints/bare/latest_net_G.pth"): model.netG_A})
        options.save(opt, run.folder, {})
        run.lock.release()
    for name, model in (("noise", "dcgan"), ("colors", "colorization")):
        opt = options.parse(["--dataroot", "flat", "--model", model, "--name", name])
        Path("checkpoints", name).mkdir()
        options.save(opt, Path("checkpoints", name), {})
    Path("broken/one/options.json").write_text('{"options": ')
    Path("broken/one/manifest.json").unlink()
    for name in ("lost", "page", "cut_off", "noise", "colors"):
        Path("checkpoints", name, "manifest.json").unlink(missing_ok=True)
    for name in ("G_A", "G_B"):
        Path(f"checkpoints/page/latest_net_{name}.pth").write_text("<html>404 Not Found</html>")
    Path("checkpoints/cut_off").mkdir()
    whole = Path("checkpoints/mine/latest_state.pt").read_bytes()
    Path("checkpoints/cut_off/latest_state.pt").write_bytes(whole[: len(whole) // 2])
    Path("checkpoints/cut_off/options.json").write_bytes(Path("checkpoints/mine/options.json").read_bytes())
    # Otherwise a test without --name would find several runs of the same images.
    for name in ("lost", "page", "cut_off", "noise", "colors"):
        path = Path("checkpoints", name, "options.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"run": {"dataroot": "/elsewhere"}}))


def prepare_training(argv: list[str]) -> None:
    """Do what train.py does before its first step."""
    options = TrainOptions()
    opt = options.parse(argv)
    dataset = create_dataset(opt)
    model = create_model(opt)
    model.setup(opt)
    if opt.init_from:
        load_initial_weights(model.networks(), opt, options.differences)
    Run(opt).attach(model, dataset)


def prepare_testing(argv: list[str]) -> None:
    """Do what test.py does before its first image."""
    opt = TestOptions().parse(argv)
    create_model(opt).setup(opt)
    create_dataset(opt)


def matches(pattern: str, message: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("~"))), message) is not None


@pytest.fixture(autouse=True)
def there(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)


@pytest.mark.parametrize("flags", TRAINING)
def test_a_mistake_in_training_has_its_message(flags: str) -> None:
    # A resumed run has its own options; a new one gets small networks, which are built at once.
    small = "" if "--continue_train" in flags else "--ngf 1 --ndf 1 --device cpu "
    small = small.replace("--device cpu ", "") if "--gpu_ids" in flags else small
    with pytest.raises(UserError) as caught:
        prepare_training(shlex.split(f"--dataroot tiles {small}{flags}"))
    assert matches(TRAINING[flags], str(caught.value)), str(caught.value)


@pytest.mark.parametrize("flags", TESTING)
def test_a_mistake_in_testing_has_its_message(flags: str) -> None:
    with pytest.raises(UserError) as caught:
        prepare_testing(shlex.split(f"--dataroot tiles --device cpu {flags}"))
    assert matches(TESTING[flags], str(caught.value)), str(caught.value)


def test_correct_flags_raise_no_error() -> None:
    prepare_training(shlex.split(f"--dataroot tiles {TINY} --name new"))
    prepare_training(shlex.split("--dataroot tiles --name mine --continue_train"))
    prepare_testing(shlex.split("--dataroot tiles --device cpu"))
    prepare_testing(shlex.split("--dataroot tiles --name bare --ngf 1 --netG resnet_6blocks --no_dropout"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_missing_device() -> None:
    with pytest.raises(
        UserError, match=r"^--device cuda is not available to torch \S+ on this machine: use --device auto or cpu$"
    ):
        prepare_training(["--dataroot", "tiles", "--device", "cuda"])
    with pytest.raises(UserError, match=r"^--device cuda:0 is not available to torch"):
        prepare_training(["--dataroot", "tiles", "--gpu_ids", "0"])


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"^--use_wandb: the package wandb is not installed; pip install wandb$"):
        TrainOptions().parse(["--dataroot", "tiles", "--use_wandb"])


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("train.py --dataroot tiles --wibble", TRAINING["--wibble"]),
        ("train.py", TRAINING["--dataroot ''"]),
        ("train.py --dataroot nowhere --name another", TRAINING["--dataroot nowhere"]),
        ("test.py --dataroot tiles --name lost", TESTING["--name lost"]),
    ],
)
def test_a_command_prints_one_line_and_exits_with_2(command: str, sentence: str) -> None:
    program, *flags = shlex.split(command)
    done = subprocess.run([sys.executable, ROOT / program, *flags], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {sentence}\n"


@pytest.mark.parametrize("flags", [["--name", "mine", "--overwrite"], ["--name", "never"]])
def test_a_mistake_creates_and_deletes_no_folder(flags: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(Path("checkpoints/mine").iterdir())
    monkeypatch.setattr(sys, "argv", ["train.py", "--dataroot", "nowhere", "--device", "cpu", *flags])
    with pytest.raises(UserError, match="does not exist"):
        train.main()
    assert sorted(Path("checkpoints/mine").iterdir()) == before and len(before) > 4
    assert not Path("checkpoints/never").exists()


@pytest.mark.parametrize("source", ["typo", "checkpoints/bare", "checkpoints/page"])
def test_overwriting_happens_after_the_initial_weights_are_read(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in Path("checkpoints/mine").iterdir()}
    flags = ["--name", "mine", "--overwrite", "--init_from", source, *shlex.split(TINY)]
    monkeypatch.setattr(sys, "argv", ["train.py", "--dataroot", "tiles", *flags])
    with pytest.raises(UserError):
        train.main()
    assert {path: path.read_bytes() for path in Path("checkpoints/mine").iterdir()} == before
