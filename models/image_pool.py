"""The image pool: a history of generated images for the discriminator (Shrivastava et al. 2017, section 2.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Stores up to `size` generated images. Random choices use the pool's own generator, seeded with `seed`."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.generator = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """Return a batch (N, C, H, W) of new or stored images, detached, for a batch of new images.

        While the pool is not full, each new image is stored and returned. When it is full, each new image is returned
        with probability 1/2; otherwise it replaces a random stored image, and that one is returned. With size 0, the
        new images are returned. In a batch of several images, a stored image of a different size is replaced, but the
        new image is returned.
        """
        images = images.detach()
        if self.size == 0:
            return images
        images = images.nan_to_num()  # fp16 may skip this step, but the pool keeps its images
        returned = [self._query_image(image) for image in images]
        if len(images) > 1:
            returned = [old if old.shape == new.shape else new for old, new in zip(returned, images, strict=True)]
        return torch.stack(returned)

    def _query_image(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand((), generator=self.generator) < 0.5:
            return image
        index = int(torch.randint(self.size, (), generator=self.generator))
        stored, self.images[index] = self.images[index], image.clone()
        return stored.to(image.device)  # images restored from a checkpoint are on the CPU

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = list(state["images"])[: self.size]
        self.generator.set_state(state["generator"].cpu())
