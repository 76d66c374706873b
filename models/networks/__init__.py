"""Registries of the networks for --netG and --netD. Needs no torch: a network's module is imported on lookup.

To add a network, write a function or class that takes keyword arguments (see `create_generator` and
`create_discriminator`) and returns an nn.Module, and add it here. A network outside this package needs no entry: use
--netG package.module:name.
"""

from __future__ import annotations

from util.registry import Catalog

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
