"""What the names and shapes of weights tell about the network: the options that build a network like it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

Options = dict[str, str]  # text such as "--ngf 64", by subject

RESNETS = {(6, 2): "--netG resnet_6blocks", (9, 2): "--netG resnet_9blocks", (9, 4): "--netG global"}
UNETS = {7: "--netG unet_128", 8: "--netG unet_256"}
# The options of a residual block, by the positions of its convolutions in `conv_block`: each layer has a position.
BLOCKS = {
    (1, 5): ("--no_dropout", "--padding_type reflect"),
    (1, 6): ("--dropout", "--padding_type reflect"),
    (0, 3): ("--no_dropout", "--padding_type zero"),
    (0, 4): ("--dropout", "--padding_type zero"),
}
MOST_COLORS = 4  # channels of an image file; more are class ids, or stacked images


def advice(own: Mapping[str, Tensor], weights: Mapping[str, Tensor], network: str) -> str:
    """The options that fit the weights and differ from those of a network's own state dict; empty if unknown.

    `network` is the network's name: the input of G_B has --output_nc channels.
    """
    fitting, built = options(weights, network), options(own, network)
    return " ".join(text for subject, text in fitting.items() if built.get(subject) != text)


def options(weights: Mapping[str, Tensor], network: str) -> Options:
    """The options, as text by subject, that build a network with weights like these; empty for an unknown network."""
    convolutions = sorted(
        ((name, weight) for name, weight in weights.items() if name.endswith(".weight") and weight.dim() == 4),
        key=lambda named: [int(part) if part.isdigit() else -1 for part in named[0].split(".")],
    )
    shapes = {name: tuple(weight.shape) for name, weight in convolutions}
    if any(".conv_block." in name for name in shapes):
        found = _resnet(shapes, network)
    elif "model.model.0.weight" in shapes:
        found = _unet(shapes, network)
    elif {"model.0.weight", "net.0.weight"} & shapes.keys():
        found = _discriminator(shapes)
    else:
        return {}
    # The scale of batch norm; not running statistics, which old files also have for instance norm.
    has_batch_norm = any(name.endswith(".weight") and weight.dim() == 1 for name, weight in weights.items())
    flag = "--norm_D" if network.startswith("D") else "--norm"
    return found | {"norm": f"{flag} {'batch' if has_batch_norm else 'instance'}"}


def _resnet(shapes: Mapping[str, tuple[int, ...]], network: str) -> Options:
    is_local = any(name.startswith("model1_") for name in shapes)
    outer = {name: shape for name, shape in shapes.items() if name.startswith("model1_") == is_local}
    first, *middle, last = [name for name in outer if ".conv_block." not in name]
    inner = [name.split(".conv_block.") for name in outer if ".conv_block." in name]
    blocks = len({block for block, _ in inner})
    positions = tuple(int(position.split(".")[0]) for block, position in inner if block == inner[0][0])
    netG = "--netG local" if is_local else RESNETS.get((blocks, len(middle) // 2))
    netG = netG or f"a --netG of {blocks} residual blocks and {len(middle) // 2} downsampling layers"
    found = {"netG": netG, "ngf": f"--ngf {outer[first][0]}"}
    found |= _channels(outer[first][1], outer[last][0], network)
    if positions in BLOCKS:
        found["dropout"], found["padding"] = BLOCKS[positions]
    if middle:  # transposed convolutions have their input channels first
        found["upsample"] = _upsample(outer[middle[-1]][0] > outer[middle[-1]][1])
    return found


def _unet(shapes: Mapping[str, tuple[int, ...]], network: str) -> Options:
    levels = len(shapes) // 2
    ngf, input_nc = shapes["model.model.0.weight"][:2]
    found = {"netG": UNETS.get(levels, f"a --netG with {levels} downsampling layers"), "ngf": f"--ngf {ngf}"}
    last = shapes.get("model.model.3.weight")
    if last is not None:
        is_transposed = last[2] == 4
        found |= _channels(input_nc, last[1] if is_transposed else last[0], network)
        found["upsample"] = _upsample(is_transposed)
    return found


def _discriminator(shapes: Mapping[str, tuple[int, ...]]) -> Options:
    first = next(iter(shapes.values()))
    if "net.0.weight" in shapes:
        netD = "--netD pixel"
    elif len(shapes) == 5:
        netD = "--netD basic"
    else:
        netD = f"--netD n_layers --n_layers_D {len(shapes) - 2}"
    return {"netD": netD, "ndf": f"--ndf {first[0]}", "input": f"an input of {first[1]} channels"}


def _upsample(is_transposed: bool) -> str:
    return f"--upsample {'basic' if is_transposed else 'bilinear'}"


def _channels(inputs: int, outputs: int, network: str) -> Options:
    """The options of a generator's channels."""
    if network.endswith("_B"):
        return {"input": f"--output_nc {inputs}", "output": f"--input_nc {outputs}"}
    classes = f" (for maps of class ids, --label_nc {inputs})" if inputs > MOST_COLORS else ""
    return {"input": f"--input_nc {inputs}{classes}", "output": f"--output_nc {outputs}"}
