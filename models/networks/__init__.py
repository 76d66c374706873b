"""The networks by the names that --netG and --netD take. Needs no torch: a network's module is imported when found.

To add one, write a function or class that takes keyword arguments (see `create_generator` and `create_discriminator`
for which) and returns an nn.Module, and add its name here; or keep it anywhere, and give package.module:name.
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
