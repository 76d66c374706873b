"""Weight files of other code: wrapped, with prefixes, of other networks, pickled, not finite."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.networks.discriminators import create_discriminator
from models.networks.generators import create_generator
from tests.conftest import Options
from util.errors import UserError
from util.runs.init_from import load_initial_weights
from util.runs.weights import load_weights, save_weights

Weights = Mapping[str, Tensor]


def generator(**settings: Any) -> nn.Module:
    return create_generator(**({"netG": "resnet_6blocks", "input_nc": 3, "output_nc": 3, "ngf": 2} | settings))


def prefixed(prefix: str) -> Callable[[Weights], Any]:
    return lambda weights: {prefix + name: tensor for name, tensor in weights.items()}


def wrapped(*keys: str) -> Callable[[Weights], Any]:
    def wrap(weights: Weights) -> Any:
        content: Any = dict(weights)
        for key in reversed(keys):
            content = {key: content}
        return content

    return wrap


def compiled_inside(weights: Weights) -> Any:
    """A network whose single layers were compiled."""
    return {re.sub(r"^model\.(\d+)\.", r"model.\1._orig_mod.", name): tensor for name, tensor in weights.items()}


def training_state(weights: Weights) -> Any:
    """What training loops save: epoch, metrics, an optimizer with moments of the same shapes."""
    moments = {i: {"exp_avg": tensor, "step": torch.tensor(1.0)} for i, tensor in enumerate(weights.values())}
    optimizer = {"state": moments, "param_groups": [{"lr": 0.1}]}
    return {"epoch": 3, "best": 0.5, "model_state_dict": prefixed("module.")(weights), "optimizer": optimizer}


FORMS: dict[str, Callable[[Weights], Any]] = {
    "plain": dict,
    "module": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "module, compiled": prefixed("module._orig_mod."),
    "compiled, module": prefixed("_orig_mod.module."),
    "module twice": prefixed("module.module."),
    "compiled layers": compiled_inside,
    "lightning": prefixed("netG."),
    "state_dict": wrapped("state_dict"),
    "model": wrapped("model"),
    "netG": wrapped("netG"),
    "nested": wrapped("state_dict", "netG"),
    "prefixed in a wrapper": lambda weights: {"state_dict": prefixed("model.module.")(weights)},
    "training state": training_state,
    "several networks": lambda w: {"netG": dict(w), "netD": create_discriminator("basic", input_nc=3).state_dict()},
    "both generators": lambda w: {"netG": dict(w), "netF": {name: tensor + 1 for name, tensor in w.items()}},
    "flat module": lambda w: prefixed("netG.")(w) | prefixed("netF.")({name: tensor + 1 for name, tensor in w.items()}),
    "half precision": lambda weights: {name: tensor.half() for name, tensor in weights.items()},
}


@pytest.mark.parametrize("settings", [{}, {"netG": "unet_128", "norm": "batch"}], ids=["resnet", "unet"])
@pytest.mark.parametrize("form", FORMS)
def test_wrapped_and_prefixed_weights_are_loaded(form: str, settings: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    trained, loaded = generator(**settings), generator(**settings)
    if form == "half precision":
        trained.half().float()
    torch.save(FORMS[form](trained.state_dict()), path)
    load_weights({path: loaded})
    for name, tensor in trained.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_a_network_that_has_a_part_called_module_keeps_its_names(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    trained, loaded = (nn.ModuleDict({"module": nn.Linear(2, 2)}) for _ in range(2))
    save_weights({path: trained})
    load_weights({path: loaded})
    assert torch.equal(loaded["module"].weight, trained["module"].weight)  # type: ignore[arg-type]


def test_several_networks_of_which_none_has_the_name_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    weights = generator().state_dict()
    torch.save({"first": weights, "second": {name: tensor + 1 for name, tensor in weights.items()}}, path)
    with pytest.raises(UserError, match=r"has several networks that fit \(first, second\): save the state dict of one"):
        load_weights({path: generator()})


def test_wrapped_weights_of_another_network_say_what_fits(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    other = generator(netG="unet_128").state_dict()
    torch.save({"state_dict": prefixed("module.")(other)}, path)
    with pytest.raises(UserError, match=r"the file fits --netG unet_128$"):
        load_weights({path: generator()})


@pytest.mark.parametrize("content", [nn.Conv2d(3, 3, 3), nn.DataParallel(nn.Conv2d(3, 3, 3))])
@pytest.mark.parametrize("in_a_dictionary", [False, True])
def test_a_pickled_module_is_refused_in_a_sentence(content: nn.Module, in_a_dictionary: bool, tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    torch.save({"model": content, "opt": argparse.Namespace()} if in_a_dictionary else content, path)
    with pytest.raises(UserError) as caught:
        load_weights({path: generator()})
    message = str(caught.value)
    assert re.fullmatch(
        rf"{path} can't be read as a weight file: it contains a pickled Python object \(torch\.nn\.\S+\.\w+\), which "
        r"may run code when loaded: load it where it was trained and save only the weights, by "
        r"torch\.save\(network\.state_dict\(\), path\)",
        message,
    )


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"netG": "resnet_9blocks"}, "--netG resnet_9blocks"),
        ({"netG": "unet_128"}, "--netG unet_128"),
        ({"netG": "unet_256", "ngf": 3}, "--netG unet_256 --ngf 3"),
        ({"netG": "global"}, "--netG global"),
        ({"netG": "local", "norm": "batch"}, "--netG local --norm batch"),
        ({"input_nc": 36}, "--input_nc 36 (for maps of class ids, --label_nc 36)"),
        ({"input_nc": 1}, "--input_nc 1"),
        ({"output_nc": 1}, "--output_nc 1"),
        ({"ngf": 4}, "--ngf 4"),
        ({"norm": "batch"}, "--norm batch"),
        ({"use_dropout": True}, "--dropout"),
        ({"padding_type": "zero"}, "--padding_type zero"),
        ({"padding_type": "zero", "use_dropout": True}, "--dropout --padding_type zero"),
        ({"upsample": "bilinear"}, "--upsample bilinear"),
    ],
    ids=str,
)
def test_weights_of_another_generator_name_the_options_that_fit(
    settings: dict[str, Any], options: str, tmp_path: Path
) -> None:
    path = tmp_path / "latest_net_G.pth"
    save_weights({path: generator(**settings)})
    with pytest.raises(UserError, match=rf"does not fit the network: .*; the file fits {re.escape(options)}$"):
        load_weights({path: generator()})
    load_weights({path: generator(**settings)})


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"norm": "batch"}, "--norm batch"),
        ({"input_nc": 36}, "--input_nc 36 (for maps of class ids, --label_nc 36)"),
        ({"output_nc": 1}, "--output_nc 1"),
        ({"upsample": "bilinear"}, "--upsample bilinear"),
    ],
    ids=str,
)
def test_weights_of_another_unet_name_the_options_that_fit(
    settings: dict[str, Any], options: str, tmp_path: Path
) -> None:
    path = tmp_path / "latest_net_G.pth"
    save_weights({path: generator(netG="unet_128", **settings)})
    with pytest.raises(UserError, match=rf"; the file fits {re.escape(options)}$"):
        load_weights({path: generator(netG="unet_128")})


@pytest.mark.parametrize(
    ("netD", "settings", "options"),
    [
        ("pixel", {}, "--netD pixel"),
        ("n_layers", {"n_layers_D": 2}, "--netD n_layers --n_layers_D 2"),
        ("basic", {"ndf": 5}, "--ndf 5"),
        ("basic", {"norm": "batch"}, "--norm_D batch"),
        ("basic", {"input_nc": 6}, "an input of 6 channels"),
    ],
)
def test_weights_of_another_discriminator_name_the_options_that_fit(
    netD: str, settings: dict[str, Any], options: str, tmp_path: Path
) -> None:
    path = tmp_path / "latest_net_D.pth"
    save_weights({path: create_discriminator(netD, **({"input_nc": 3, "ndf": 4} | settings))})
    with pytest.raises(UserError, match=rf"; the file fits {options}$"):
        load_weights({path: create_discriminator("basic", input_nc=3, ndf=4)})


def test_the_generator_from_b_to_a_has_its_channels_swapped(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G_B.pth"
    save_weights({path: generator(input_nc=1)})
    with pytest.raises(UserError, match=r"; the file fits --output_nc 1$"):
        load_weights({path: generator()})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path, options: Options) -> None:
    path = tmp_path / "latest_net_G.pth"
    broken = generator()
    with torch.no_grad():
        next(broken.parameters())[0, 0, 0, 0] = value
    save_weights({path: broken})
    message = (
        r"latest_net_G\.pth has weights that are not finite .* in 1 of 36 parameters, for example model\.1\.weight"
    )
    with pytest.raises(UserError, match=message):
        load_weights({path: generator()})
    with pytest.raises(UserError, match=message):
        load_initial_weights({"G": generator()}, options("--init_from", str(path)))


def test_initial_weights_may_be_wrapped(tmp_path: Path, options: Options) -> None:
    path = tmp_path / "latest_net_G.pth"
    trained, loaded = generator(), generator()
    torch.save({"state_dict": prefixed("module.")(trained.state_dict())}, path)
    load_initial_weights({"G": loaded}, options("--init_from", str(path)))
    assert torch.equal(loaded.state_dict()["model.1.weight"], trained.state_dict()["model.1.weight"])
    with pytest.raises(UserError, match=r"fits only partly \(netG: .*; the file fits --netG resnet_6blocks\): add"):
        load_initial_weights({"G": generator(netG="resnet_9blocks")}, options("--init_from", str(path)))
