"""Mistyped commands: each is answered with what is wrong and, where that is known, with a command that works."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from data import create_dataset
from models import MODELS, create_model
from options import TestOptions, TrainOptions
from options.earlier_names import EARLIER, OUTPUT, VALUES, normalized
from tests import forked
from tests.conftest import SMALL, write_tiles
from tests.options.test_mistakes import matches
from util.errors import UserError
from util.runs.run import Run

ROOT = Path(__file__).resolve().parents[2]

# The words after `python train.py`, and the sentence; ~ is any text. After "type: ", the command is run.
TRAINING = {
    # Options of earlier code.
    "--dataroot maps --which_model_netG resnet_9blocks": "--which_model_netG resnet_9blocks is called --netG "
    "resnet_9blocks here; type: ~ --dataroot maps --netG resnet_9blocks",
    "--dataroot maps --which_model_netG=resnet9": "--which_model_netG resnet9 is called --netG resnet_9blocks here; ~",
    "--dataroot maps --which_model_netD n_layers": "--which_model_netD n_layers is called --netD n_layers here; ~",
    "--dataroot maps --niter 100 --niter_decay 50": "--niter 100 is called --n_epochs 100 here; --niter_decay 50 is "
    "called --n_epochs_decay 50 here; type: ~ --dataroot maps --n_epochs 100 --n_epochs_decay 50",
    "--dataroot maps --loadSize 143 --fineSize 128": "--loadSize 143 is written --load_size 143 here; --fineSize 128 "
    "is called --crop_size 128 here; type: ~ --dataroot maps --load_size 143 --crop_size 128",
    "--dataroot maps --which_direction BtoA": "--which_direction BtoA is called --direction BtoA here; type: ~",
    "--dataroot maps --no_lsgan": "--no_lsgan is called --gan_mode vanilla here; type: ~ --gan_mode vanilla",
    "--dataroot maps --use_lsgan 0": "--use_lsgan 0 is called --gan_mode vanilla here; type: ~ --gan_mode vanilla",
    "--dataroot maps --identity 0.5": "--identity 0.5 is called --lambda_identity 0.5 here; type: ~",
    "--dataroot maps --lambda_idt 0": "--lambda_idt 0 is called --lambda_identity 0 here; type: ~",
    "--dataroot maps --nThreads 1": "--nThreads 1 is called --num_threads 1 here; type: ~ --num_threads 1",
    "--dataroot maps --batchSize 4": "--batchSize 4 is written --batch_size 4 here; type: ~ --batch_size 4",
    "--dataroot maps --resize_or_crop crop": "--resize_or_crop crop is called --preprocess crop here; type: ~",
    "--dataroot maps --name mine --continue_train --which_epoch latest": "--which_epoch latest is called --epoch "
    "latest here; type: ~",
    "--dataroot maps --which_phase test": "--which_phase test is called --phase test here; type: ~ --phase test",
    "--dataroot maps --gpu 0": "--gpu 0 is called --device cuda:0 here; type: ~ --device cuda:0",
    "--dataroot maps --gpu -1": "--gpu -1 is called --device cpu here; type: ~ --device cpu",
    "--dataroot maps --local_rank 0": "--local_rank 0 has no counterpart here (torchrun tells each process its "
    "rank); ~",
    "--dataroot maps --no_instance": "--no_instance has no counterpart here (instance maps and encoded features are "
    "not supported); type: ~ --dataroot maps",
    "--dataroot maps --how_many 50": "--how_many 50 is called --num_test 50 here, an option of test.py",
    "--dataroot maps --ntest 50": "--ntest 50 is called --num_test 50 here, an option of test.py",
    "--dataroot maps --epochs 20": "--epochs 20 is called --n_epochs 20 here; type: ~ --dataroot maps --n_epochs 20",
    "--dataroot maps --image_size 64": "--image_size 64 is called --load_size 64 --crop_size 64 here; type: ~",
    "--data maps": "--data maps is called --dataroot maps here; type: ~ --dataroot maps",
    "--dataroot maps --use_dropout": "--use_dropout is called --dropout here; type: ~ --dropout",
    "--dataroot maps --gpu": "--gpu is called --device here",
    # Values of earlier code, and in other spellings.
    "--dataroot maps --model cyclegan": "--model cyclegan is written --model cycle_gan here; type: ~",
    "--dataroot maps --model CycleGAN": "--model CycleGAN is written --model cycle_gan here; type: ~",
    "--dataroot pairs --model pix2pixHD --netD n_layers --n_layers_D 1": "--model pix2pixHD is written --model "
    "pix2pix_hd here; type: ~",
    "--dataroot maps --model FastCUT": "--model FastCUT is called --model cut --CUT_mode FastCUT here; type: ~ --model "
    "cut --CUT_mode FastCUT",
    "--dataroot maps --netG resnet9": "--netG resnet9 is called --netG resnet_9blocks here; type: ~",
    "--dataroot maps --netG=ResNet-6blocks": "--netG ResNet-6blocks is written --netG resnet_6blocks here; type: ~",
    "--dataroot maps --norm in": "--norm in is called --norm instance here; type: ~ --norm instance",
    "--dataroot maps --direction A2B": "--direction A2B is called --direction AtoB here; type: ~ --direction AtoB",
    "--dataroot maps --dataset_mode unpaired": "--dataset_mode unpaired is called --dataset_mode unaligned here; ~",
    "--dataroot maps --gan_mode WGAN-GP": "--gan_mode WGAN-GP is written --gan_mode wgangp here; type: ~",
    "--dataroot maps --lr_policy lambda": "--lr_policy lambda is called --lr_policy linear here; type: ~",
    "--dataroot maps --device gpu": "--device gpu is called --device cuda here; type: ~ --device cuda",
    "--dataroot maps --cache memory": "--cache memory is called --cache ram here; type: ~ --cache ram",
    # Case, hyphens and underscores.
    "--dataroot maps --Name x": "--Name x is written --name x here; type: ~ --name x",
    "--dataroot maps --batch-size 4": "--batch-size 4 is written --batch_size 4 here; type: ~ --batch_size 4",
    "--dataroot maps --No-Flip": "--No-Flip is written --no_flip here; type: ~ --no_flip",
    # Words that follow no option.
    "maps": "'maps' follows no option; type: ~ --dataroot maps",
    "maps --name x": "'maps' follows no option; type: ~ --dataroot maps --name x",
    "--name x maps": "'maps' follows no option; type: ~ --name x --dataroot maps",
    "--batch_size 2 maps": "'maps' follows no option; type: ~ --batch_size 2 --dataroot maps",
    "dataroot maps": "'dataroot' follows no option; type: ~ --dataroot maps",
    "dataroot=maps": "'dataroot=maps' follows no option; type: ~ --dataroot maps",
    "--dataroot maps mine --continue_train": "'mine' follows no option; type: ~ --dataroot maps --name mine ~",
    "checkpoints/mine --continue_train": "'checkpoints/mine' follows no option; type: ~ --name mine --continue_train",
    "--dataroot maps some.yaml": "'some.yaml' follows no option; type: ~ --config some.yaml",
    "train.py --dataroot maps": "'train.py' follows no option; type: ~ --dataroot maps",
    "--dataroot maps -n 5": "unknown option -n: options have two hyphens and a full name; --help lists all options",
    "--dataroot maps --load_size 286 x 286": "unexpected argument 'x': each value must follow its flag, and "
    "--load_size takes one",
    # Spaces and equals signs.
    "--dataroot my photos": "a value with spaces needs quotes; type: ~ --dataroot 'my photos'",
    "my photos": "a value with spaces needs quotes; 'my photos' follows no option; type: ~ --dataroot 'my photos'",
    "--dataroot maps --name my run": "a value with spaces needs quotes; type: ~ --name 'my run'",
    "--dataroot maps --name = x": "an equals sign has no spaces around it; type: ~ --name x",
    "--dataroot maps --name= x": "an equals sign has no spaces around it; type: ~ --name x",
    "--dataroot maps --name =x": "an equals sign has no spaces around it; type: ~ --name x",
    "--dataroot maps -- name x": "no space follows the hyphens of an option; type: ~ --name x",
    "--dataroot maps '  --name' x": "a backslash is followed by a space: it must be the last character of its line; ~",
    "--dataroot maps --name x ^": "^ is not the last character of its line; type: ~ --dataroot maps --name x",
    # What text processors and web pages make of a command.
    "-dataroot maps": "options begin with two hyphens, not with '-'; type: ~ --dataroot maps",
    "\u2014dataroot maps": "options begin with two hyphens, not with '\u2014', as pasted from a web page; type: ~",
    "\u2013\u2013dataroot maps": "options begin with two hyphens, not with '\u2013\u2013', as "
    "pasted from a web page; type: ~",
    "--no_flip \u2014dataroot=maps": "options begin with two hyphens, not with '\u2014', as pasted "
    "from a web page; type: ~",
    "\u2014dataroot maps \u2014model pix2pix_hd \u2014niter 10 \u2014dataroot pairs": "options "
    "begin with two hyphens, ~; --niter 10 is "
    "called --n_epochs 10 here; type: ~",
    "--dataroot \u201cmaps\u201d": "quotes are straight, not curly as in \u201cmaps\u201d, as "
    "pasted from a web page; type: ~",
    "--dataroot maps --name \u201cmy run\u201d": "quotes are straight, ~; a value with spaces "
    "needs quotes; type: ~ 'my run'",
    "'--dataroot\u00a0maps'": "a special space or an invisible character is next to --dataroot, as pasted from a web "
    "page; type: ~ --dataroot maps",
    "--dataroot maps \u200b--name x": "a special space or an invisible character is next to --name, ~; type: ~",
    # Switches.
    "--dataroot maps --no_flip True": "--no_flip takes no value; type: ~ --no_flip",
    "--dataroot maps --no_flip=False": "--no_flip takes no value: leave it out to switch it off; type: ~ maps",
    # Numbers.
    "--dataroot maps --lr=0,0002": "--lr: must be a number, not '0,0002': use 0.0002",
    "--dataroot maps --lr 2e\u22124": "--lr: must be a number, not '2e\u22124': use 2e-4",
    "--dataroot maps --crop_size 256x256": "--crop_size: must be an integer, not '256x256': use one number for width "
    "and height, 256",
    "--dataroot maps --crop_size 256,256": "--crop_size: must be an integer, not '256,256': use one number for width "
    "and height, 256",
    "--dataroot maps --crop_size 512x256": "--crop_size: must be an integer, not '512x256': use one number for width "
    "and height",
    "--dataroot maps --crop_size 256 256": "unexpected argument '256': each value must follow its flag, and "
    "--crop_size takes one",
    "--dataroot maps --crop_size 256px": "--crop_size: must be an integer, not '256px': use 256",
    "--dataroot maps --n_epochs 1e2": "--n_epochs: must be an integer, not '1e2': use 100",
    "--dataroot maps --save_latest_freq 5,000": "--save_latest_freq: must be an integer, not '5,000': use 5000",
    "--dataroot maps --save_latest_freq 5k": "--save_latest_freq: must be an integer, not '5k': use 5000",
    "--dataroot maps --max_dataset_size inf": "--max_dataset_size: must be an integer, not 'inf': omit the option to "
    "use all images",
    "--dataroot maps --max_dataset_size 0": "--max_dataset_size: must be at least 1, not 0: omit the option to use all "
    "images",
    "--dataroot maps --save_every 0": "--save_every: must be above 0, not 0: omit the option to switch it off",
    "--dataroot maps --accumulate 0": "--accumulate: must be at least 1, not 0: use 1 for whole batches",
    "--dataroot maps --print_freq -1": "--print_freq: must be at least 0, not -1: use 0 to switch it off",
    # GPUs.
    "--dataroot maps --gpu_ids -1,0": "--gpu_ids -1,0: -1 is the CPU, which can't be combined with GPUs: use --gpu_ids "
    "-1, or --gpu_ids 0",
    "--dataroot maps --gpu_ids 0 1": "the numbers of --gpu_ids are separated by commas, without spaces; type: ~ "
    "--gpu_ids 0,1",
    "--dataroot maps --gpu_ids cpu": "--gpu_ids cpu: must be the number of a GPU, or -1 for the CPU",
    # Folders and runs.
    "--dataroot maps/trainA": "--dataroot maps/trainA does not contain trainA and trainB: use --dataroot maps",
    "--dataroot maps/trainB/": "--dataroot maps/trainB does not contain trainA and trainB: use --dataroot maps",
    "--dataroot .": "--dataroot . does not contain trainA and trainB: use --dataroot maps or --dataroot 'my photos'",
    "--dataroot map": "--dataroot map does not exist: use --dataroot maps",
    "--dataroot pairs/train --model pix2pix": "--dataroot pairs/train does not contain trainA and trainB: use "
    "--dataroot pairs",
    "--dataroot maps --name mine --continue_train --epoch 99": "checkpoints/mine/99_net_G_A.pth is missing: the folder "
    "has --epoch latest, 5, 10 and --load_iter 2000",
    "--continue_train --name his": "--name his: --checkpoints_dir checkpoints has no such run: choose one with --name: "
    "mine",
    "--dataroot maps --epoch 20": "--epoch 20 has an effect only with --continue_train or --init_from RUN (the number "
    "of epochs is --n_epochs plus --n_epochs_decay)",
}
TESTING = {
    "--dataroot maps --how_many 5": "--how_many 5 is called --num_test 5 here; type: ~ --dataroot maps --num_test 5",
    "--name mine --how_many all": "--how_many all is called --num_test 1000000 here; type: ~",
    "--name mine --ntest 4": "--ntest 4 is called --num_test 4 here; type: ~ --name mine --num_test 4",
    "--name mine --which_epoch latest": "--which_epoch latest is called --epoch latest here; type: ~",
    "--name mine --niter 5": "--niter 5 is called --n_epochs 5 here, an option of train.py",
    "--name mine --n_epochs 5": "--n_epochs is an option of train.py, not of test.py",
    "--name mine --output_dir there": "--output_dir there is called --results_dir there here; type: ~",
    "mine": "'mine' follows no option; type: ~ --name mine",
    "maps": "'maps' follows no option; type: ~ --dataroot maps",
    "\u2014name mine": "options begin with two hyphens, not with '\u2014', as pasted from a web "
    "page; type: ~ --name mine",
    "--dataroot maps/testA": "no run was trained on --dataroot maps/testA: use --dataroot maps",
    "--dataroot maps/testA --name mine": "--dataroot maps/testA does not contain testA and testB: use --dataroot maps",
    "--dataroot nowhere": "--dataroot nowhere does not exist: expected a folder that contains testA and testB",
    "--name mine --num_test all": "--num_test: must be an integer, not 'all': use a large number for all images, such "
    "as 1000000",
    "--name mine --epoch 99": "checkpoints/mine/99_net_G_A.pth is missing: the folder has --epoch latest, 5, 10 and "
    "--load_iter 2000",
    "--name mine --model test": "checkpoints/mine/latest_net_G.pth is missing: the folder has weights of D_A, D_B, "
    "G_A, G_B: add --model_suffix _A or --model_suffix _B",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of images, and a run."""
    root = tmp_path_factory.mktemp("mistyped")
    for name in ("trainA", "trainB", "testA", "testB"):
        write_tiles(root / "maps" / name, 2)
        write_tiles(root / "my photos" / name, 2)
    write_tiles(root / "pairs" / "train", 2)
    (root / "some.yaml").write_text("batch_size: 2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        options = TrainOptions()
        opt = options.parse(["--dataroot", "maps", "--name", "mine", *SMALL])
        model = create_model(opt)
        model.setup(opt)
        run = Run(opt)
        run.attach(model, create_dataset(opt))
        with run:
            run.save("latest", "5", "10", "iter_2000")
        options.save(opt, run.folder, {})
        run.lock.release()
    return root


@pytest.fixture(autouse=True)
def there(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(world)


def train(argv: list[str]) -> None:
    """Do what train.py does before its first step."""
    opt = TrainOptions().parse(argv)
    create_dataset(opt)
    if opt.continue_train:
        create_model(opt).load_networks(opt.epoch)


def translate(argv: list[str]) -> None:
    """Do what test.py does before its first image."""
    opt = TestOptions().parse(argv)
    create_model(opt).setup(opt)
    create_dataset(opt)


def suggested(sentence: str, script: str) -> list[str]:
    """The arguments of the command that a sentence ends with."""
    program, path, *arguments = shlex.split(sentence.partition("; type: ")[2])
    assert program == "python" and Path(path).resolve() == ROOT / script
    return arguments


@pytest.mark.parametrize("command", TRAINING)
def test_a_mistyped_training_command(command: str) -> None:
    with pytest.raises(UserError) as caught:
        train(shlex.split(command))
    assert matches(TRAINING[command], str(caught.value)), str(caught.value)
    if "; type: " in str(caught.value):
        if any(
            name in command for name in ("cuda", "gpu 0", "device gpu", "gpu_ids 0")
        ):  # a machine without a GPU refuses it later
            TrainOptions().parse(suggested(str(caught.value), "train.py"))
            return
        train(suggested(str(caught.value), "train.py"))


@pytest.mark.parametrize("command", TESTING)
def test_a_mistyped_test_command(command: str) -> None:
    with pytest.raises(UserError) as caught:
        translate(shlex.split(command))
    assert matches(TESTING[command], str(caught.value)), str(caught.value)
    if "; type: " in str(caught.value):
        translate(suggested(str(caught.value), "test.py"))


def test_every_option_of_earlier_code_has_an_answer() -> None:
    """A replacement that exists in train.py or test.py, in the model's options if need be."""
    values = {"device": "0", "gpu": "0", "precision": "16", "number": "1"}
    for name, earlier in EARLIER.items():
        new = list(earlier.new(values.get(name, "1")))
        if not new:
            assert earlier.why or name == "flip", name
            continue
        known = TrainOptions()._all_actions(True) | TestOptions()._all_actions(False)
        assert all(word in known for word in new if word.startswith("--")), (name, new)
        assert normalized(name) == name and not any(normalized(flag) == name for flag in known), name
    assert not set(OUTPUT) & EARLIER.keys()


def test_every_value_of_earlier_code_stands_for_one_that_exists() -> None:
    base = TrainOptions()._all_actions(True)
    for option, values in VALUES.items():
        for old, (new, *further) in values.items():
            assert old == old.lower()
            model = ["--model", new] if option == "model" else []
            flags = model or [f"--{option}", new]
            assert TrainOptions()._base_parser(add_help=False).parse_strictly(flags), (option, old)
            assert f"--{option}" in base and all(flag in base for flag in further if flag.startswith("--"))
            assert option != "model" or new in MODELS.names()


OFF = ("print_freq", "display_freq", "update_html_freq", "save_latest_freq", "save_epoch_freq")


def run_command(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.run(Path(program), arguments, Path.cwd(), os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)


def test_printed_commands_run(tmp_path: Path) -> None:
    """Train with every frequency off, then run the commands that are printed: translate, resume."""
    off = [word for name in OFF for word in (f"--{name}", "0")]
    short = ["--n_epochs", "1", "--n_epochs_decay", "1", "--display_id", "0", *off]
    name = tmp_path.name + " it's"
    done = run_command(str(ROOT / "train.py"), "--dataroot", "maps", "--name", name, *SMALL, *short)
    assert done.returncode == 0, done.stderr
    folder = Path("checkpoints", name)
    assert not list(folder.glob("1_net_*")) and list(folder.glob("2_net_*"))
    assert (folder / "losses.jsonl").read_text() == "" if (folder / "losses.jsonl").exists() else True
    program, *command = shlex.split(done.stdout.splitlines()[-1].partition("with: ")[2])
    assert program == "python"
    tested = run_command(*command)
    assert tested.returncode == 0, tested.stderr
    longer = ["--continue_train", "--name", name, "--n_epochs_decay", "2"]
    resumed = run_command(str(ROOT / "train.py"), *longer, "--num_threads", "0", "--device", "cpu")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming after 4 images" in resumed.stdout
    assert json.loads((folder / "options.json").read_text())["options"]["dataroot"] == "maps"


def test_a_resumed_run_finds_its_images_from_another_folder(tmp_path: Path, world: Path) -> None:
    os.chdir(tmp_path)  # undone with the fixture's own change
    opt = TrainOptions().parse(["--continue_train", "--name", "mine", "--checkpoints_dir", str(world / "checkpoints")])
    assert opt.dataroot == str((world / "maps").resolve())


@pytest.mark.parametrize("ids", [["--gpu_ids", "0,1"], ["--gpu_ids=0,1"], ["--gpu_ids", " 0, 1,"]])
def test_several_gpus_are_answered_with_torchrun(ids: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert TrainOptions().parse(["--dataroot", "my photos", *ids, "--no_flip"]).device == "cuda:0"
    prefix, _, command = capsys.readouterr().err.strip().partition("to use all: ")
    assert prefix == "note: only GPU 0 is used; "
    visible, program, processes, script, *arguments = shlex.split(command)
    assert (visible, program, processes) == ("CUDA_VISIBLE_DEVICES=0,1", "torchrun", "--nproc_per_node=2")
    assert Path(script).resolve() == ROOT / "train.py"
    assert TrainOptions().parse(arguments).dataroot == "my photos" and arguments[2:] == ["--no_flip"]
