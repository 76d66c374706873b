"""The files of other projects that visdom's page needs: a list of them, and their installation.

Visdom's server downloads them when it first starts. For a machine without internet access, they can be installed from
a node_modules folder of the npm registry instead.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from util.errors import UserError
from util.files import atomic_write


class Asset(NamedTuple):
    """A file of an npm package, and its path in visdom's static folder."""

    package: str
    version: str
    source: str
    target: str


def _font(extension: str, target_suffix: str = "") -> Asset:
    name = f"glyphicons-halflings-regular.{extension}"
    return Asset("bootstrap", "3.3.7", f"dist/fonts/{name}", f"fonts/{name}{target_suffix}")


def _mathjax(version: str, *files: str) -> tuple[Asset, ...]:
    return tuple(Asset("mathjax", version, file, f"js/mathjax/{version}/{file}") for file in files)


COMMON_ASSETS = (
    Asset("jquery", "3.1.1", "dist/jquery.min.js", "js/jquery.min.js"),
    Asset("bootstrap", "3.3.7", "dist/js/bootstrap.min.js", "js/bootstrap.min.js"),
    Asset("bootstrap", "3.3.7", "dist/css/bootstrap.min.css", "css/bootstrap.min.css"),
    *map(_font, ("eot", "woff2", "woff", "ttf")),
    _font("svg", "#glyphicons_halflingsregular"),  # the file name that visdom uses
    Asset("react", "16.2.0", "umd/react.production.min.js", "js/react-react.min.js"),
    Asset("react-dom", "16.2.0", "umd/react-dom.production.min.js", "js/react-dom.min.js"),
    Asset("react-modal", "3.1.10", "dist/react-modal.min.js", "js/react-modal.min.js"),
    Asset("plotly.js-dist-min", "2.11.1", "plotly.min.js", "js/plotly-plotly.min.js"),
    Asset("sjcl", "1.0.7", "sjcl.js", "js/sjcl.js"),
    Asset("layout-bin-packer", "1.4.0", "dist/layout-bin-packer.js", "js/layout_bin_packer.js"),
    Asset("layout-bin-packer", "1.4.0", "dist/layout-bin-packer.js.map", "js/layout-bin-packer.js.map"),
    Asset("d3", "3.5.17", "d3.min.js", "js/d3.v3.min.js"),
    Asset("d3-selection-multi", "1.0.1", "build/d3-selection-multi.js", "js/d3-selection-multi.v1.js"),
    Asset("save-svg-as-png", "1.4.17", "lib/saveSvgAsPng.js", "js/saveSvgAsPng.js"),
    Asset("classnames", "2.2.5", "index.js", "fonts/classnames"),  # the path that visdom uses
)
ASSETS_OF_0_2 = (
    Asset("react-resizable", "1.4.6", "css/styles.css", "css/react-resizable-styles.css"),
    Asset("react-grid-layout", "0.16.3", "css/styles.css", "css/react-grid-layout-styles.css"),
    *_mathjax(
        "2.7.5",
        "MathJax.js",
        "config/Safe.js",
        "config/TeX-AMS-MML_HTMLorMML.js",
        "extensions/Safe.js",
        "jax/output/SVG/jax.js",
        "jax/output/SVG/config.js",
        "jax/output/SVG/fonts/TeX/fontdata.js",
        "jax/output/SVG/fonts/TeX/Size1/Regular/Main.js",
    ),
)
ASSETS_OF_0_3 = (
    Asset("react-resizable", "3.1.3", "css/styles.css", "css/react-resizable-styles.css"),
    Asset("react-grid-layout", "2.2.3", "css/styles.css", "css/react-grid-layout-styles.css"),
    *_mathjax("3.2.2", "es5/tex-mml-svg.js"),
)


class Page:
    """The page of the installed visdom: its static folder, and the assets that it needs there."""

    def __init__(self) -> None:
        """Find visdom without importing it. Raises UserError if it is not installed."""
        spec = importlib.util.find_spec("visdom")
        if spec is None or spec.origin is None:
            raise UserError("visdom is not installed: pip install -r requirements.txt")
        package = Path(spec.origin).parent
        self.static = package / "static"
        self.version = (package / "VERSION").read_text(encoding="utf-8").strip()
        self.assets = COMMON_ASSETS + (ASSETS_OF_0_2 if self.version.startswith("0.2.") else ASSETS_OF_0_3)
        self._marker = self.static / "version.built"  # visdom writes its version here after a complete download

    def is_complete(self) -> bool:
        """Whether every asset of this visdom version is installed."""
        if not all((self.static / asset.target).is_file() for asset in self.assets):
            return False
        return self._marker.is_file() and self._marker.read_text(encoding="utf-8").strip() == self.version

    def install(self, node_modules: Path) -> None:
        """Copy the assets from an npm folder. Raises UserError if one is missing or cannot be written."""
        files = list(self._read(node_modules))
        try:
            for target, content in files:
                target.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(target, content)
            atomic_write(self._marker, self.version)
        except OSError as error:
            raise UserError(f"cannot install the assets of visdom's page in {self.static} ({error})") from error

    def npm_command(self) -> str:
        """The command that creates the npm folder ~/visdom_page/node_modules."""
        packages = dict.fromkeys(f"{asset.package}@{asset.version}" for asset in self.assets)
        return f"npm install --prefix ~/visdom_page --legacy-peer-deps {' '.join(packages)}"

    def _read(self, node_modules: Path) -> Iterator[tuple[Path, bytes]]:
        for asset in self.assets:
            folder = node_modules / asset.package
            try:
                version = json.loads((folder / "package.json").read_text(encoding="utf-8"))["version"]
                content = (folder / asset.source).read_bytes()
            except (OSError, ValueError, KeyError) as error:
                raise UserError(
                    f"--assets {node_modules}: {error}; create the folder with `{self.npm_command()}`"
                ) from error
            if version != asset.version:
                raise UserError(
                    f"--assets {node_modules}: contains {asset.package} {version}, but the page needs "
                    f"{asset.version}; create the folder with `{self.npm_command()}`"
                )
            yield self.static / asset.target, content
