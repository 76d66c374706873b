"""Exporting a run: its generators as files that other programs load. Needs no torch, so that --help is fast.

A format is one module here with a `Format`, see scripts/exporting/job.py, and an entry in FORMATS.
"""

from __future__ import annotations

from util.registry import Catalog

FORMATS = Catalog(
    "--format",
    {
        "onnx": "scripts.exporting.onnx_format:ONNX",
        "torch": "scripts.exporting.torch_format:TORCH",
        "hub": "scripts.exporting.hub_format:HUB",
        "web": "scripts.exporting.web_format:WEB",
    },
)
