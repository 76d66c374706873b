"""The image sizes that a model takes. The model tells its dataset, which skips other images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageSizes:
    """Conditions on the width and height of the images that a network receives, in pixels."""

    smallest: int = 1
    multiple: int = 1
    smallest_for: str = "the network"
    """The network that needs `smallest`, for messages."""
    multiple_for: str = "the network"
    """The network that needs `multiple`."""
    padded: bool = False
    """Whether the model itself pads images to the multiple that its networks need, so that any size above fits."""

    def problem(self, height: int, width: int, resized: str = "") -> str:
        """Why an image of this size does not fit; empty if it does. `resized`: added to the size in the message."""
        size = f"{width}x{height} pixels{resized}"
        if min(height, width) < self.smallest:
            return f"{size} are too small for {self.smallest_for}, which needs at least {self.smallest}x{self.smallest}"
        if height % self.multiple or width % self.multiple:
            return (
                f"{size} do not fit {self.multiple_for}, which needs multiples of {self.multiple}: use a --preprocess "
                f"that crops, and a --crop_size that is a multiple of {self.multiple}"
            )
        return ""
