"""Registries of the networks for --netG and --netD. Needs no torch: a network's module is imported on lookup.

To add a network, write a function or class that takes keyword arguments (see `create_generator` and
`create_discriminator`) and returns an nn.Module, and add it here. A network outside this package needs no entry: use
--netG package.module:name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from util.errors import UserError
from util.registry import Catalog, call_with_accepted

if TYPE_CHECKING:
    from torch import nn

GENERATORS = Catalog(
    "--netG",
    {
        "resnet_9blocks": "models.networks.generators:resnet_9blocks",
        "resnet_6blocks": "models.networks.generators:resnet_6blocks",
        "unet_256": "models.networks.generators:unet_256",
        "unet_128": "models.networks.generators:unet_128",
        "global": "models.networks.generators:global_generator",
        "local": "models.networks.generators:local_enhancer",
    },
)
DISCRIMINATORS = Catalog(
    "--netD",
    {
        "basic": "models.networks.discriminators:basic",
        "n_layers": "models.networks.discriminators:PatchDiscriminator",
        "pixel": "models.networks.discriminators:PixelDiscriminator",
    },
)


def build(catalog: Catalog, name: str, **arguments: Any) -> nn.Module:
    """The network of that name, built with those of the keyword arguments that it accepts.

    Raises UserError for one that needs other arguments, or that is not an nn.Module.
    """
    from torch import nn

    found = catalog.find(name)
    try:
        network = call_with_accepted(found, **arguments)
    except (TypeError, ValueError) as error:
        if ":" not in name:
            raise
        raise UserError(
            f"{catalog.option} {name} can't be called with keyword arguments among {', '.join(arguments)}: {error}"
        ) from error
    if not isinstance(network, nn.Module):
        raise UserError(f"{catalog.option} {name}: must return an nn.Module, not {type(network).__name__}")
    return network
