"""Load a translation exported with torch.export. Needs torch alone: 2.9 or newer."""

import torch


def load(file):
    """A function from images (N, H, W, C), as config.json describes them, to their translations."""
    module = torch.export.load(file).module()
    return torch.inference_mode()(lambda images: module(images)[0])


if __name__ == "__main__":
    print(load("AtoB.pt2")(torch.zeros(1, 100, 150, 3, dtype=torch.uint8)).shape)
