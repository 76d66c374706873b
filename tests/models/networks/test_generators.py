"""Generators match the layout of published weight files, and reference implementations; weight files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.architectures import GENERATORS
from models.networks.generators import create_generator, up_layers
from util.errors import UserError
from util.runs.weights import load_weights, save_weights

LAYOUTS = json.loads((Path(__file__).parent / "state_dict_layouts.json").read_text())
Weights = dict[str, Tensor]


def layout(network: nn.Module) -> list[list[object]]:
    """The names and shapes of the entries of the state dict, in order."""
    return [[name, list(value.shape)] for name, value in network.state_dict().items()]


def double(network: nn.Module, seed: int = 0) -> tuple[nn.Module, Weights]:
    """The network in float64 with random weights, also for norms and biases, and a copy of these weights."""
    generator = torch.Generator().manual_seed(seed)
    network.double()
    for parameter in network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3 + 0.05
    return network, {name: value.clone() for name, value in network.state_dict().items()}


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name.startswith("G/")])
def test_state_dict_has_the_published_layout(name: str) -> None:
    _, netG, norm, dropout = name.split("/")
    with torch.device("meta"):
        network = create_generator(
            netG, input_nc=3, output_nc=3, norm=norm.split("=")[1], use_dropout=dropout == "dropout=on"
        )
    assert layout(network) == LAYOUTS[name]


def normalized(x: Tensor, weights: Weights, name: str) -> Tensor:
    """Batch norm if the weights contain a scale and shift of this name, otherwise instance norm."""
    batch = f"{name}.weight" in weights
    dims = (0, 2, 3) if batch else (2, 3)
    mean = x.mean(dims, keepdim=True)
    x = (x - mean) / torch.sqrt(((x - mean) ** 2).mean(dims, keepdim=True) + 1e-5)
    if batch:
        x = x * weights[f"{name}.weight"].view(1, -1, 1, 1) + weights[f"{name}.bias"].view(1, -1, 1, 1)
    return x


def reference_upsample(x: Tensor) -> Tensor:
    """Bilinear upsampling by 2: in each dimension 3/4 of a value and 1/4 of its neighbor."""
    for dim in (2, 3):
        size = x.shape[dim]
        before = torch.cat([x.narrow(dim, 0, 1), x.narrow(dim, 0, size - 1)], dim)
        after = torch.cat([x.narrow(dim, 1, size - 1), x.narrow(dim, size - 1, 1)], dim)
        x = torch.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], dim + 1).flatten(dim, dim + 1)
    return x


def reference_resize_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return F.conv2d(F.pad(reference_upsample(x), (1, 1, 1, 1), mode="reflect"), weight, bias)


def resnet(x: Tensor, weights: Weights, blocks: int, upsample: str = "basic") -> Tensor:
    """The ResNet generator of Zhu et al. 2017, appendix 7.2."""

    def parameters(name: str) -> tuple[Tensor, Tensor | None]:
        return weights[f"{name}.weight"], weights.get(f"{name}.bias")

    def norm(x: Tensor, name: str) -> Tensor:
        return normalized(x, weights, name)

    x = norm(F.conv2d(F.pad(x, (3, 3, 3, 3), mode="reflect"), *parameters("model.1")), "model.2").relu()
    x = norm(F.conv2d(x, *parameters("model.4"), stride=2, padding=1), "model.5").relu()
    x = norm(F.conv2d(x, *parameters("model.7"), stride=2, padding=1), "model.8").relu()
    for i in range(10, 10 + blocks):
        y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), *parameters(f"model.{i}.conv_block.1"))
        y = norm(y, f"model.{i}.conv_block.2").relu()
        y = F.conv2d(F.pad(y, (1, 1, 1, 1), mode="reflect"), *parameters(f"model.{i}.conv_block.5"))
        x = x + norm(y, f"model.{i}.conv_block.6")
    for i in (10 + blocks, 13 + blocks):
        if upsample == "bilinear":
            x = reference_resize_convolution(x, *parameters(f"model.{i}"))
        else:
            x = F.conv_transpose2d(x, *parameters(f"model.{i}"), stride=2, padding=1, output_padding=1)
        x = norm(x, f"model.{i + 1}").relu()
    return F.conv2d(F.pad(x, (3, 3, 3, 3), mode="reflect"), *parameters(f"model.{17 + blocks}")).tanh()


def unet(x: Tensor, weights: Weights, depth: int, upsample: str = "basic") -> Tensor:
    """The U-Net generator of Isola et al. 2017 as two loops: down, then up with skip connections."""
    prefix = "model.model."
    down = [f"{prefix}0"]
    up, up_norm, down_norm = [f"{prefix}3"], [""], [""]
    prefix += "1.model."
    for level in range(1, depth):
        innermost = level == depth - 1
        down.append(f"{prefix}1")
        down_norm.append("" if innermost else f"{prefix}2")
        up.append(f"{prefix}{3 if innermost else 5}")
        up_norm.append(f"{prefix}{4 if innermost else 6}")
        prefix += "3.model."

    skipped = []
    for level in range(depth):
        x = x if level == 0 else F.leaky_relu(x, 0.2)
        x = F.conv2d(x, weights[f"{down[level]}.weight"], weights.get(f"{down[level]}.bias"), stride=2, padding=1)
        x = normalized(x, weights, down_norm[level]) if down_norm[level] else x
        skipped.append(x)
    for level in reversed(range(depth)):
        x = x if level == depth - 1 else torch.cat([skipped[level], x], dim=1)
        weight, bias = weights[f"{up[level]}.weight"], weights.get(f"{up[level]}.bias")
        if upsample == "bilinear":
            x = reference_resize_convolution(x.relu(), weight, bias)
        else:
            x = F.conv_transpose2d(x.relu(), weight, bias, stride=2, padding=1)
        x = normalized(x, weights, up_norm[level]) if up_norm[level] else x
    return x.tanh()


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize("netG", ["resnet_6blocks", "resnet_9blocks"])
def test_resnet_matches_the_paper(netG: str, norm: str) -> None:
    network, weights = double(create_generator(netG, input_nc=3, output_nc=2, ngf=4, norm=norm))
    x = image(2, 3, 20, 28)
    expected = resnet(x, weights, GENERATORS[netG][1])
    torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["instance", "batch"])
@pytest.mark.parametrize(("netG", "size"), [("unet_128", 128), ("unet_256", 256)])
def test_unet_matches_the_paper(netG: str, size: int, norm: str) -> None:
    network, weights = double(create_generator(netG, input_nc=3, output_nc=2, ngf=2, norm=norm))
    x = image(2, 3, size, size)
    # Instance norm of 2x2 values amplifies rounding errors, hence the tolerance.
    torch.testing.assert_close(network(x), unet(x, weights, GENERATORS[netG][1]), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("netG", ["resnet_6blocks", "unet_128"])
def test_bilinear_upsampling(netG: str) -> None:
    network, weights = double(create_generator(netG, input_nc=3, output_nc=2, ngf=2, norm="batch", upsample="bilinear"))
    x = image(2, 3, 128, 128)
    computed = (resnet if netG.startswith("resnet") else unet)(x, weights, GENERATORS[netG][1], "bilinear")
    torch.testing.assert_close(network(x), computed, rtol=1e-7, atol=1e-9)


def test_bilinear_upsampling_makes_no_checkerboard() -> None:
    """With equal weights, a constant image stays constant; a transposed convolution gives three different values."""

    def count_distinct_values(upsample: str) -> int:
        layer = up_layers(4, "batch", upsample)[0]
        torch.nn.init.constant_(layer.weight, 0.1)  # type: ignore[arg-type]  # a convolution
        made = layer(torch.ones(1, 4, 8, 8))[..., 2:-2, 2:-2]
        return len(made.round(decimals=4).unique())

    assert count_distinct_values("bilinear") == 1
    assert count_distinct_values("basic") == 3  # 1, 2 (twice) and 4 inputs each


def test_dropout_layers_match_the_papers() -> None:
    def places(netG: str) -> list[str]:
        network = create_generator(netG, input_nc=3, output_nc=3, ngf=2, use_dropout=True)
        return [name for name, module in network.named_modules() if isinstance(module, nn.Dropout)]

    assert places("resnet_6blocks") == [f"model.{i}.conv_block.4" for i in range(10, 16)]
    for netG, depth, wanted in (("unet_128", 7, 2), ("unet_256", 8, 3)):
        # After the up norm of the levels next to the innermost one, from the inside outwards.
        levels = ["model.model.1.model" + ".3.model" * (level - 1) for level in range(depth - 1 - wanted, depth - 1)]
        assert places(netG) == [f"{level}.7" for level in reversed(levels)]


@pytest.mark.parametrize(
    ("netG", "height", "width"), [("resnet_9blocks", 16, 36), ("unet_128", 128, 256), ("unet_256", 256, 256)]
)
def test_an_image_keeps_its_size(netG: str, height: int, width: int) -> None:
    network = create_generator(netG, input_nc=1, output_nc=5, ngf=2, norm="batch")
    made = network(torch.zeros(1, 1, height, width))
    assert made.shape == (1, 5, height, width)
    assert made.abs().max() <= 1


def test_resnet_rounds_sides_up_to_multiples_of_four() -> None:
    network = create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2)
    assert network(torch.zeros(1, 3, 66, 61)).shape == (1, 3, 68, 64)


def test_unet_with_other_sizes_is_an_error() -> None:
    network = create_generator("unet_128", input_nc=3, output_nc=3, ngf=2)
    with pytest.raises(UserError, match=r"an image of 132x128 pixels does not fit this U-Net.*multiples of 128"):
        network(torch.zeros(1, 3, 128, 132))


# Weight files.


def small(norm: str = "instance", dropout: bool = False) -> nn.Module:
    return create_generator("resnet_6blocks", input_nc=3, output_nc=3, ngf=2, norm=norm, use_dropout=dropout)


def test_saved_weights_are_restored(tmp_path: Path) -> None:
    saved, loaded = small("batch"), small("batch")
    saved(torch.rand(2, 3, 16, 16))  # updates the running statistics
    save_weights({tmp_path / "latest_net_G.pth": saved})
    load_weights({tmp_path / "latest_net_G.pth": loaded})
    assert all(
        torch.equal(a, b) for a, b in zip(saved.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert torch.load(tmp_path / "latest_net_G.pth", weights_only=True).keys() == saved.state_dict().keys()


def test_statistics_of_old_instance_norm_files_are_dropped(tmp_path: Path) -> None:
    network = small()
    old = {name: value + 1 for name, value in network.state_dict().items()}
    for norm in ("model.2", "model.10.conv_block.2", "model.20"):
        old |= {f"{norm}.running_mean": torch.zeros(2), f"{norm}.running_var": torch.ones(2)}
        old |= {f"{norm}.num_batches_tracked": torch.tensor(7)}
    torch.save(old, tmp_path / "old.pth")
    load_weights({tmp_path / "old.pth": network})
    assert all(torch.equal(value, old[name]) for name, value in network.state_dict().items())


def test_unknown_running_statistics_are_an_error(tmp_path: Path) -> None:
    torch.save(small().state_dict() | {"model.1.running_mean": torch.zeros(2)}, tmp_path / "odd.pth")
    with pytest.raises(UserError, match=r"odd\.pth does not fit.*1 unknown.*model\.1\.running_mean"):
        load_weights({tmp_path / "odd.pth": small()})


def test_old_batch_norm_files_may_lack_only_batch_counts(tmp_path: Path) -> None:
    network = small("batch")
    network(torch.rand(2, 3, 16, 16))
    old = {name: value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    load_weights({tmp_path / "old.pth": network})
    assert network.state_dict()["model.2.num_batches_tracked"] == 0
    assert torch.equal(network.state_dict()["model.2.running_mean"], old["model.2.running_mean"])
    torch.save({name: value for name, value in old.items() if name != "model.5.running_var"}, tmp_path / "less.pth")
    with pytest.raises(UserError, match=r"1 missing.*model\.5\.running_var"):
        load_weights({tmp_path / "less.pth": network})


def test_weights_of_other_networks_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latest_net_G.pth"
    save_weights({path: small()})
    before = (other := small("batch")).state_dict()["model.1.weight"].clone()
    with pytest.raises(UserError, match=r"missing.*unknown.*for example model\.\S+\).*--norm"):
        load_weights({path: other})
    assert torch.equal(other.state_dict()["model.1.weight"], before)
    with pytest.raises(UserError, match=r"model\.10\.conv_block\.6.*--no_dropout"):
        load_weights({path: small(dropout=True)})
    wider = create_generator("resnet_6blocks", input_nc=1, output_nc=3, ngf=2)
    with pytest.raises(UserError, match=r"1 differently shaped parameters \(for example model\.1\.weight\)"):
        load_weights({path: wider})


@pytest.mark.parametrize("conv", ["direct", "winograd"])
@pytest.mark.parametrize(("padding_type", "mode"), [("zero", "constant"), ("replicate", "replicate")])
def test_padding_of_residual_blocks(padding_type: str, mode: str, conv: str) -> None:
    """With zero there is no padding layer, so that names shift. The first and last padding are always reflection."""
    network = create_generator(
        "resnet_6blocks", input_nc=3, output_nc=2, ngf=2, norm="batch", padding_type=padding_type, conv=conv
    )
    network, weights = double(network)
    first, second = ("0", "3") if padding_type == "zero" else ("1", "5")
    names = [name for name in weights if name.startswith("model.10.conv_block") and name.endswith("weight")]
    norms = [str(int(first) + 1), str(int(second) + 1)]
    assert names == [f"model.10.conv_block.{i}.weight" for i in (first, norms[0], second, norms[1])]
    x = image(2, 8, 9, 11)
    y = F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), weights[f"model.10.conv_block.{first}.weight"])
    y = normalized(y, weights, f"model.10.conv_block.{norms[0]}").relu()
    y = F.conv2d(F.pad(y, (1, 1, 1, 1), mode=mode), weights[f"model.10.conv_block.{second}.weight"])
    expected = x + normalized(y, weights, f"model.10.conv_block.{norms[1]}")
    torch.testing.assert_close(network.model[10](x), expected, rtol=1e-8, atol=1e-10)
    outer = [layer for layer in network.model if isinstance(layer, nn.ReflectionPad2d)]
    assert [layer.padding for layer in outer] == [(3, 3, 3, 3), (3, 3, 3, 3)]
