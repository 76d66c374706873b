"""The registry of GAN objectives for --gan_mode. Needs no torch: an objective's module is imported on lookup.

To add an objective, write a function `loss(logits, target_is_real)` that returns a scalar, and add it here. A function
outside this package needs no entry: use --gan_mode package.module:name.
"""

from __future__ import annotations

from util.registry import Catalog

GAN_MODES = Catalog("--gan_mode", {name: f"models.objectives.losses:{name}" for name in ("lsgan", "vanilla", "wgangp")})
