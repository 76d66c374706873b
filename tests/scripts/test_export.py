"""scripts/export.py: exported files compute what the networks compute, in every size, and say what they are."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference import load_generator
from models.networks.generators import create_generator
from models.networks.sizes import pad_to_fit
from scripts import export
from scripts.exporting import onnx_format
from scripts.exporting.comparison import Comparison, ExportFailed, Trial, require_equal, stored, values_of
from scripts.exporting.graph import Translation
from scripts.exporting.images import find_images, five_sizes
from scripts.exporting.source import Source, load_sources
from tests.conftest import tile, write_tiles
from tests.integration.conftest import ROOT
from tests.scripts import export_table
from tests.scripts.exported_runs import network_options, save_generator, save_gray_to_color, save_run, write_domains
from util.errors import UserError
from util.images import to_array

pytest.importorskip("onnxscript", reason="pip install -r requirements-dev.txt")
pytestmark = pytest.mark.xdist_group("export")  # one exported folder for all
SMALLEST = {"netG": "resnet_6blocks", "ngf": 2, "input_nc": 3, "output_nc": 3, "norm": "batch"}
OPTIONS = SMALLEST | {"no_dropout": True}


def run_export(*arguments: object) -> dict[str, Any]:
    """Export, and return config.json."""
    folder = export.export(export.parse_arguments([str(argument) for argument in arguments]))
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config | {"folder": folder}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_domains(tmp_path_factory.mktemp("data") / "tiles")


@pytest.fixture(scope="module")
def cycle(tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_gray_to_color(tmp_path_factory.mktemp("runs") / "checkpoints", tiles)


# What the networks compute.


@pytest.mark.parametrize(
    "network",
    [
        {"netG": "resnet_6blocks", "norm": "batch", "upsample": "bilinear", "use_dropout": True},
        {"netG": "unet_128", "norm": "instance", "upsample": "basic", "use_dropout": True},
        {"netG": "global", "norm": "instance", "upsample": "bilinear", "use_dropout": False},
    ],
)
def test_short_form_of_the_table(network: dict[str, Any], tmp_path: Path) -> None:
    network |= {"ngf": 2, "input_nc": 3, "output_nc": 3}
    found = export_table.measure(tmp_path, network)
    assert found["max_difference"] <= 1e-4 and found["max_levels"] <= 1 and len(set(found["sizes"])) == 5
    row = export_table.row(network, found)
    assert row.startswith(f"| {network['netG']} | {network['norm']} |") and row.count("|") == 10
    generator = create_generator(**network).eval()
    generator.load_state_dict(torch.load(tmp_path / "run" / "latest_net_G.pth", weights_only=True))
    picture = np.asarray(tile(3, 37, 50))
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        expected = to_array(generator(pad_to_fit(x, generator))[0, :, :50, :37])
    pixels, values = onnx_format.runner(tmp_path / "exported" / "AtoB.onnx")(picture[None])
    assert pixels.shape == (1, 50, 37, 3) and np.abs(pixels[0].astype(int) - expected).max() <= 1
    assert expected.std() > 20 and values.min() < -0.5 < 0.5 < values.max()


@pytest.mark.parametrize(("multiple", "least"), [(4, 8), (16, 32), (128, 65)])
def test_padding_equals_that_of_testing(multiple: int, least: int) -> None:
    graph = Translation.__new__(Translation)
    torch.nn.Module.__init__(graph)
    graph.multiple, graph.least = multiple, least
    network = torch.nn.Identity()
    network.multiple, network.min_size = multiple, least  # type: ignore[assignment]
    for height, width in [(1, 1), (1, 9), (5, 3), (8, 8), (33, 31), (64, 129), (200, 66), (128, 256), (20, 300)]:
        images = torch.rand(2, 3, height, width)
        assert torch.equal(graph.pad(images), pad_to_fit(images, network)), (height, width)


def test_five_sizes() -> None:
    assert five_sizes(4, 8) == [(64, 64), (65, 61), (33, 96), (98, 35), (13, 16)]
    assert five_sizes(256, 129)[0] == (256, 256)


def test_norm_statistics_of_the_image(tmp_path: Path) -> None:
    """Batch norm as in training, with one image at a time, against torch's own batch norm in training mode."""
    run = save_generator(tmp_path / "run", **SMALLEST)
    config = run_export(run, "--out", tmp_path / "out", "--norm", "image", "--options", *network_options(SMALLEST))
    assert config["directions"]["AtoB"]["norm_statistics"] == "image"
    images = np.stack([np.asarray(tile(i, 32, 24)) for i in range(2)])
    (source,) = load_sources(run, "latest", None, "running", OPTIONS)
    values = onnx_format.runner(tmp_path / "out" / "AtoB.onnx")(images)[1]
    assert np.abs(values - values_of(source, images, 8)).max() > 0.01  # running statistics give other images
    network = source.network.double().train()
    x = torch.from_numpy(images).double().permute(0, 3, 1, 2) / 127.5 - 1
    expected = torch.cat([network(image) for image in x.split(1)]).permute(0, 2, 3, 1)
    assert np.abs(values - expected.detach().numpy()).max() <= 1e-4


def test_images_of_16_bits(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    for name in ("trainA", "trainB", "testA", "testB"):
        (root / name).mkdir(parents=True)
        gray = np.asarray(tile(1, 40, 36).convert("L")).astype(np.uint16) * 250 + 17
        Image.fromarray(gray).save(root / name / "a.png")
    run = save_run(tmp_path / "runs", "deep", root, "--input_nc", "1", "--output_nc", "1", "--lambda_identity", "0")
    config = run_export(run, "--direction", "AtoB", "--out", tmp_path / "out")
    facts = config["directions"]["AtoB"]
    assert facts["input"] == facts["output"] | {"class_ids": False} and facts["input"]["dtype"] == "uint16"
    assert facts["input"]["range"] == [0, 65535] and facts["comparison"]["origin"] == "test images of the run's dataset"
    pixels, values = onnx_format.runner(tmp_path / "out" / "AtoB.onnx")(gray[None, :, :, None])
    assert pixels.dtype == np.uint16
    assert np.abs(pixels - np.clip((values + 1) * 32767.5, 0, 65535)).max() < 0.51


@pytest.mark.parametrize(("model", "flags"), [("colorization", []), ("pix2pix", ["--label_nc", "3"])])
def test_models_whose_input_is_no_image_of_the_network(tmp_path: Path, model: str, flags: list[str]) -> None:
    root = tmp_path / "data"
    if flags:
        write_tiles(root / "testB", 2)
        (root / "testA").mkdir()
        for path in (root / "testB").iterdir():
            Image.fromarray(np.asarray(Image.open(path).convert("L")) % 3).save(root / "testA" / path.name)
    else:
        write_tiles(root / "test", 2)
    run = save_run(tmp_path / "runs", "run", root, "--model", model, "--netG", "resnet_6blocks", *flags)
    config = run_export(run, "--out", tmp_path / "out")
    facts = config["directions"]["AtoB"]
    assert facts["comparison"]["origin"] == "test images of the run's dataset"
    assert facts["input"]["channels"] == (1 if flags else 3) and facts["input"]["class_ids"] == bool(flags)
    if flags:
        assert facts["input"]["range"] == [0, 2]
    else:
        picture = tile(5, 30, 21)
        pixels, _ = onnx_format.runner(tmp_path / "out" / "AtoB.onnx")(np.asarray(picture)[None])
        assert np.abs(pixels[0].astype(int) - np.asarray(load_generator(run)(picture))).max() <= 1


def test_the_reference_is_exact_and_images_do_not_depend_on_the_batch(cycle: Path) -> None:
    (source,) = load_sources(cycle, "latest", "BtoA", "running", {})
    trial = Trial.of(source, find_images(source, None, None))
    assert 0 < trial.float32_difference < 1e-3 and trial.expected[0].dtype == np.float64
    batch, expected = trial.images.batches[1], trial.expected[1]
    assert len(batch) == 2
    exact = source.in_float64()
    assert np.array_equal(values_of(exact, batch[1:], 8), expected[1:])
    comparison = trial.compare(lambda images: (stored(values := values_of(exact, images, 8), 8), values))
    assert (comparison.max_difference, comparison.max_levels, comparison.share) == (0, 0, 0)


# What is written.


@pytest.fixture(scope="module")
def hub(cycle: Path, tiles: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The CycleGAN as an exported folder, with recorded scores."""
    results = tmp_path_factory.mktemp("results")
    (results / "cycle" / "test_best").mkdir(parents=True)
    scores = {"fake_B": {"ssim": 0.5473, "images": 3, "kid_x1000": 12.5}}
    record = {
        "epoch": "best",
        "phase": "test",
        "eval": True,
        "scores": scores,
        "intervals": {"fake_B": {"kid_x1000": [11.0, 14.25]}},
        "images": {"fake_B": {"Jane Doe.png": {"ssim": 0.5}}},
        "folder": str(tiles),
        "files": [1, 2, 3],
    }
    (results / "cycle" / "test_best" / "metrics.json").write_text(json.dumps(record))
    for path in list(cycle.glob("latest_net_G_*.pth")):
        (cycle / path.name.replace("latest", "best")).write_bytes(path.read_bytes())
    chosen = {"rule": "lowest", "metric": "kid", "value": 12.5, "epoch": 7}
    (cycle / "best.json").write_text(json.dumps(chosen))
    out = tmp_path_factory.mktemp("exports") / "hub"
    flags = ["--format", "hub", "--epoch", "best", "--results_dir", results, "--license", "cc-by-4.0", "--out", out]
    return run_export(cycle, *flags)


def test_files_and_card_of_the_hub_folder(hub: dict[str, Any]) -> None:
    folder = hub["folder"]
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("AtoB.onnx", "BtoA.onnx", "README.md", "config.json", "images", "model.safetensors", "requirements.txt"),
        "translate.py",
    }
    assert "Jane Doe" not in (folder / "config.json").read_text()
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    for part in ("| fake_B | kid_x1000 | 12.5 [11, 14.25] |", "| fake_B | ssim | 0.5473 |", "rule: lowest", "epoch: 7"):
        assert part in card
    for line in card.splitlines():
        if line.startswith("!["):
            assert (folder / line.partition("(")[2].rstrip(")")).is_file()
    assert card.count("](images/") == 6 and "6 files in trainA" in card and "`netG resnet_6blocks`" in card


def require_public(folder: Path, tiles: Path, cycle: Path) -> None:
    """Fail if a file of the folder contains a path of this machine."""
    for path in folder.iterdir():
        if path.is_file():
            content = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    content += b"".join(archive.read(name) for name in archive.namelist())
            for private in (tiles.parent, cycle.parent, Path.home(), ROOT):
                assert str(private).encode() not in content, path


def test_nothing_about_the_machine_is_in_an_exported_folder(hub: dict[str, Any], tiles: Path, cycle: Path) -> None:
    require_public(hub["folder"], tiles, cycle)


def test_weights_of_the_hub_folder(hub: dict[str, Any], cycle: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(hub["folder"] / "model.safetensors")
    for direction, name in (("AtoB", "G_A"), ("BtoA", "G_B")):
        weights = torch.load(cycle / f"latest_net_{name}.pth", weights_only=True)
        assert {key for key in tensors if key.startswith(direction)} == {f"{direction}.{key}" for key in weights}
        assert all(torch.equal(tensors[f"{direction}.{key}"], weight) for key, weight in weights.items())


def test_metadata_in_the_onnx_file(hub: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(hub["folder"] / "BtoA.onnx")
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["name"] == "cycle" and facts["direction"] == "BtoA" and facts["license"] == "cc-by-4.0"
    assert json.loads(facts["checkpoint"])["epoch"] == 7
    assert json.loads(facts["scores"])["scores"]["fake_B"]["ssim"] == 0.5473
    assert json.loads(facts["options"])["netG"] == "resnet_6blocks" and "dataroot" not in facts["options"]
    assert json.loads(facts["input"])["channels"] == 3 and json.loads(facts["output"])["channels"] == 1
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    ]
    assert shapes == [["batch", "height", "width", channels] for channels in (3, 1, 1)]
    assert {opset.version for opset in model.opset_import if not opset.domain} == {onnx_format.OPSET}
    assert not {node.op_type for node in model.graph.node} & {"Dropout", "RandomUniformLike", "Bernoulli"}


def test_the_program_of_the_hub_folder(hub: dict[str, Any], cycle: Path, tmp_path: Path) -> None:
    pictures = write_tiles(tmp_path / "in", 2, width=45, height=31)
    np.save(tmp_path / "in" / "array.npy", np.asarray(tile(9, 20, 30)))
    (tmp_path / "in" / "broken.png").write_bytes(b"no image")
    command = [sys.executable, "-I", hub["folder"] / "translate.py", tmp_path / "in"]
    command += ["--out", tmp_path / "out", "--direction", "BtoA"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "broken.png" in done.stderr and "Traceback" not in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["00.png", "01.png", "array.npy"]
    translate = load_generator(cycle, "BtoA")
    for path in pictures:
        found = np.asarray(Image.open(tmp_path / "out" / path.name))
        assert np.abs(found.astype(int) - np.asarray(translate(path))).max() <= 1
    array = np.load(tmp_path / "out" / "array.npy")
    assert np.abs(array[:, :, 0].astype(int) - np.asarray(translate(tile(9, 20, 30)))).max() <= 1


def test_torch_format_and_its_loader(cycle: Path, tiles: Path, tmp_path: Path) -> None:
    config = run_export(cycle, "--format", "torch", "--direction", "AtoB", "--out", tmp_path / "out")
    assert config["directions"]["AtoB"]["comparison"]["max_difference"] <= 1e-4
    require_public(tmp_path / "out", tiles, cycle)
    loader = (tmp_path / "out" / "load.py").read_text()
    assert len([line for line in loader.splitlines() if line.strip()]) <= 10
    names: dict[str, Any] = {}
    exec(loader, names)  # as a user would import it
    picture = tile(4, 51, 23).convert("L")
    images = torch.from_numpy(np.asarray(picture)[None, :, :, None].copy())
    found = names["load"](str(tmp_path / "out" / "AtoB.pt2"))(images)
    assert np.abs(found[0].int().numpy() - np.asarray(load_generator(cycle, "AtoB")(picture))).max() <= 1


def test_float16(cycle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = run_export(cycle, "--direction", "AtoB", "--precision", "fp16", "--out", tmp_path / "out")
    import onnx

    weights = onnx.load(tmp_path / "out" / "AtoB.onnx").graph.initializer
    convolutions = [weight for weight in weights if len(weight.dims) == 4]
    assert len(convolutions) == 18 and {weight.data_type for weight in convolutions} == {onnx.TensorProto.FLOAT16}
    change = config["directions"]["AtoB"]["comparison"]
    assert 1e-4 < change["max_difference"] < 0.1 and change["max_levels"] >= 1
    assert config["precision"] == "fp16" and "(the change by float16)" in capsys.readouterr().out


# What goes wrong.


def test_a_file_may_differ_as_much_as_float32_does() -> None:
    """Some trained networks magnify rounding errors beyond 1e-4, in every implementation."""

    def require(max_difference: float, float32_difference: float) -> None:
        same = {"quantile_999": 0.0, "mean_difference": 0.0, "max_levels": 1, "share": 0.0001}
        require_equal(
            Comparison(
                sizes=["64x64"],
                origin="",
                max_difference=max_difference,
                float32_difference=float32_difference,
                **same,  # type: ignore[arg-type]
            ),
            "AtoB.onnx",
            8,
        )

    require(0.9e-4, 1e-6)
    require(2e-4, 3e-4)
    with pytest.raises(ExportFailed, match=r"limits are 1\.0e-04"):
        require(2e-4, 1e-6)
    with pytest.raises(ExportFailed, match=r"limits are 3\.0e-04"):
        require(4e-4, 3e-4)


def test_a_file_that_differs_is_removed(
    cycle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    name_axes = onnx_format.name_axes

    def damage(path: Path, facts: dict[str, Any]) -> None:
        name_axes(path, facts)
        model = onnx.load(path)
        kernel = next(weight for weight in model.graph.initializer if len(weight.dims) == 4)
        changed = onnx.numpy_helper.to_array(kernel)[..., ::-1].copy()
        kernel.CopyFrom(onnx.numpy_helper.from_array(changed, kernel.name))
        onnx.save(model, path)

    monkeypatch.setattr(onnx_format, "name_axes", damage)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["export.py", str(cycle), "--direction", "BtoA"])
    assert export.main() == 1
    message = capsys.readouterr().err
    assert message.startswith("error: BtoA.onnx: 5 sizes") and "the limits are 1.0e-04" in message
    assert message.endswith("nothing was written\n") and list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with export.new_folder(folder) as temporary:
        (temporary / "config.json").write_text("1")
    with pytest.raises(ZeroDivisionError), export.new_folder(folder) as temporary:
        (temporary / "config.json").write_text("2")
        raise ZeroDivisionError
    assert (folder / "config.json").read_text() == "1"
    with export.new_folder(folder) as temporary:
        (temporary / "config.json").write_text("3")
    assert (folder / "config.json").read_text() == "3" and list(tmp_path.iterdir()) == [folder]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with (
        pytest.raises(UserError, match="mine is not empty: choose another folder"),
        export.new_folder(tmp_path / "mine"),
    ):
        pass
    with pytest.raises(ZeroDivisionError), export.new_folder(tmp_path / "new" / "run" / "onnx"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def test_mistakes_are_explained(cycle: Path, tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = ["--out", tmp_path / "out"]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").touch()
    one_way = save_run(tmp_path, "one_way", tiles, "--model", "cut")
    for arguments, message in [
        ([one_way, "--direction", "BtoA"], "--model cut translates in one direction only"),
        ([one_way, "--direction", "both"], "--model cut translates in one direction only"),
        ([save_run(tmp_path, "noise", tiles, "--model", "dcgan")], "does not translate images"),
        ([tmp_path / "nowhere"], "nowhere is not a folder"),
        ([cycle, "--images", tmp_path / "none"], "none is not a folder"),
        ([cycle, "--images", tmp_path / "broken"], "contains no image that can be read"),
        ([cycle, "--options", "netG"], "expected NAME=VALUE"),
        ([cycle, "--epoch", "99"], r"99_net_G_A\.pth is missing"),
        ([cycle, "--format", "scripts.exporting.job:CONFIG"], "must be a scripts.exporting.job.Format"),
    ]:
        with pytest.raises(UserError, match=message):
            run_export(*arguments, *out)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--format onnx needs .* pip install onnx onnxruntime onnxscript$"):
        run_export(cycle, *out)
    assert not (tmp_path / "out").exists()


def test_networks_that_cannot_be_exported(tiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "class Own(nn.Module):\n"
        "    def __init__(self, input_nc, output_nc):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(input_nc, output_nc, 1)\n"
        "    def forward(self, x):\n"
        "        return self.conv(x) if float(x.sum()) > 0 else x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = save_run(tmp_path / "runs", "own", tiles, "--model", "pix2pix", "--netG", "own:Own")
    with pytest.raises(UserError, match=r"the network of --netG own:Own can't be exported, because torch\.export"):
        run_export(run, "--out", tmp_path / "out", "--images", tiles / "testA")


def test_synthetic_images_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_generator(tmp_path / "run", **SMALLEST)
    (source,) = load_sources(run, "latest", None, "running", OPTIONS)
    images = find_images(source, None, None)
    assert not images.are_real and images.origin == "synthetic images" and images.bits == 8
    assert len({batch.std() for batch in images.batches}) == 5 and min(batch.std() for batch in images.batches) > 20


def test_help_does_not_wait_for_torch() -> None:
    code = "import sys; from scripts import export; export.parse_arguments(['run']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_sources_keep_the_meaning_of_directions(tiles: Path, tmp_path: Path) -> None:
    run = save_run(tmp_path, "back", tiles, "--direction", "BtoA")
    sources = {source.direction: source for source in load_sources(run, "latest", None, "running", {})}
    picture = tile(0, 16, 16)
    for name in ("AtoB", "BtoA"):
        found = stored(values_of(sources[name], np.asarray(picture)[None], 8), 8)[0]
        expected = np.asarray(load_generator(run, name, conv="direct")(picture))
        assert np.abs(found.astype(int) - expected).max() <= 1
    assert isinstance(sources["AtoB"], Source) and sources["BtoA"].backwards is False
