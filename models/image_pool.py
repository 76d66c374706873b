"""A pool of generated images that the discriminator is shown again (Shrivastava et al. 2017, section 2.3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Holds up to `size` generated images; its draws have a random state of their own, from `seed`."""

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.generator = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """Exchange a batch (N, C, H, W) of new images, detached, for a batch of new or stored ones.

        While the pool fills up, each image is stored and returned. Once it is full, each is returned with
        probability 1/2; else it takes the place of a random stored image, which is returned instead.
        With size 0 the images come back as they are. A stored image of another size takes no place in a batch of
        several; it is replaced all the same.
        """
        images = images.detach()
        if self.size == 0:
            return images
        images = images.nan_to_num()  # of a step that fp16 skips: it is forgotten, but the pool would remember
        exchanged = [self._exchange(image) for image in images]
        if len(images) > 1:
            exchanged = [
                stored if stored.shape == new.shape else new for stored, new in zip(exchanged, images, strict=True)
            ]
        return torch.stack(exchanged)

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand((), generator=self.generator) < 0.5:
            return image
        place = int(torch.randint(self.size, (), generator=self.generator))
        stored, self.images[place] = self.images[place], image.clone()
        return stored.to(image.device)  # a checkpoint is read on the CPU

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.images = list(state["images"])[: self.size]
        self.generator.set_state(state["generator"].cpu())
