"""The files of onnxruntime-web that a web page needs, from a folder or from npm."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from util.errors import UserError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
# Each engine is a script and its program; a browser loads one of them. The names end in .js, since some servers do not
# know .mjs as a script.
FILES = {
    "ort.wasm.bundle.min.mjs": "wasm.js",
    "ort-wasm-simd-threaded.wasm": "wasm.wasm",
    "ort.webgpu.bundle.min.mjs": "webgpu.js",  # with the processor as well, for comparison
    "ort-wasm-simd-threaded.asyncify.wasm": "webgpu.wasm",
}
LICENSE = """\
ONNX Runtime Web {version}
https://github.com/microsoft/onnxruntime

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def add_runtime(folder: Path, package: Path | None) -> None:
    """Write the runtime's files and license into `folder`/runtime.

    `package`: the unpacked npm package; without it, npm fetches the package. Raises UserError if neither works.
    """
    target = folder / "runtime"
    target.mkdir()
    if package is not None:
        _copy(_package_folder(package), target)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            _copy(_fetch(Path(temporary)), target)
    (target / "LICENSE.txt").write_text(LICENSE.format(version=VERSION), encoding="utf-8")


def _copy(package: Path, target: Path) -> None:
    for name, new_name in FILES.items():
        shutil.copyfile(package / "dist" / name, target / new_name)


def _package_folder(folder: Path) -> Path:
    """The folder of package.json: `folder`, or the one inside it that npm pack's archive unpacks to."""
    for found in (folder, folder / "package", folder / "node_modules" / PACKAGE):
        if (found / "package.json").is_file():
            break
    else:
        raise UserError(f"--runtime {folder} holds no package.json: {_remedy('unpack')}")
    try:
        facts = json.loads((found / "package.json").read_text(encoding="utf-8"))
        name, version = facts.get("name"), facts.get("version")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"--runtime {folder}: package.json can't be read: {_remedy('unpack')}") from error
    missing = [name for name in FILES if not (found / "dist" / name).is_file()]
    if (name, version) != (PACKAGE, VERSION) or missing:
        what = f"lacks dist/{missing[0]}" if missing else f"holds {name} {version}"
        raise UserError(f"--runtime {folder} {what}: {_remedy('unpack')}")
    return found


def _fetch(folder: Path) -> Path:
    """Fetch the package with npm, from its cache if it is there, and unpack the files into `folder`."""
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"--format web needs npm to fetch {PACKAGE}, and npm is not installed: {_remedy('give')}")
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--prefer-offline", "--silent", "--pack-destination", str(folder)]
    print(f"fetching {PACKAGE} {VERSION} with npm", flush=True)
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        raise UserError(f"npm pack {PACKAGE}@{VERSION} has failed: is there a network? If not, {_remedy('give')}")
    wanted = {f"package/dist/{name}" for name in FILES} | {"package/package.json"}
    with tarfile.open(archives[0]) as archive:
        archive.extractall(folder, [member for member in archive if member.name in wanted], filter="data")
    return _package_folder(folder)


def _remedy(verb: str) -> str:
    commands = f"npm pack {PACKAGE}@{VERSION} && tar xzf {PACKAGE}-{VERSION}.tgz"
    return (
        f"unpack version {VERSION} with: {commands}, and use --runtime package"
        if verb == "unpack"
        else f"run on a machine with npm: {commands}, and use --runtime package"
    )
