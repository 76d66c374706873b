"""The GAN objectives by the names that --gan_mode takes. Needs no torch: an objective is imported when found.

To add one, write a function `loss(logits, target_is_real)` that returns a scalar, and add its name here; or keep it
anywhere, and give package.module:name.
"""

from __future__ import annotations

from util.registry import Catalog

GAN_MODES = Catalog("--gan_mode", {name: f"models.objectives.losses:{name}" for name in ("lsgan", "vanilla", "wgangp")})
