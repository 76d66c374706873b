"""The model card of an exported folder, written from its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAIN_OPTIONS = ("netG", "ngf", "norm", "no_dropout", "upsample", "padding_type", "preprocess", "load_size", "crop_size")
TRAINING_OPTIONS = ("n_epochs", "n_epochs_decay", "batch_size", "lr", "gan_mode", "seed")


def text(config: Mapping[str, Any], pictures: Mapping[str, Sequence[str]]) -> str:
    """The card in Markdown; `pictures`: paths of example pictures, by direction."""
    parts = [
        _front_matter(config),
        f"# {config['name']}",
        _introduction(config),
        *_examples(pictures),
        _use(config),
        _data(config),
        _checkpoint(config),
        _scores(config["scores"]),
        _checked(config),
        _limits(config),
        f"## License\n\nWeights: {config['license']}.",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(config: Mapping[str, Any]) -> str:
    """The header that model hubs read."""
    stated = re.fullmatch(r"[a-z0-9.\-]+", config["license"])
    license_name = config["license"] if stated else "other"
    return f"---\nlicense: {license_name}\npipeline_tag: image-to-image\ntags:\n- image-to-image\n- onnx\n---"


def _introduction(config: Mapping[str, Any]) -> str:
    names = {"AtoB": "images of domain A to domain B", "BtoA": "images of domain B to domain A"}
    directions = " and ".join(f"{names[name]} (`{name}`)" for name in config["directions"])
    return f"A {config['model']} generator that translates {directions}. Dataset: {config['dataset']['name']}."


def _examples(pictures: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if any(pictures.values()):
        yield "## Examples\n\nThe input is on the left, its translation on the right. The images are not selected."
    for name, paths in pictures.items():
        if paths:
            yield f"{name}:\n\n" + "\n".join(f"![{name}]({path})" for path in paths)


def _use(config: Mapping[str, Any]) -> str:
    lines = [
        "## Use",
        "```bash\npip install -r requirements.txt\npython translate.py photos --out translated\n```",
        "Images of any size can be translated; the output has the size of the input. In other programs, load the ONNX "
        "files:",
        "| direction | file | input `image` | output `translation` |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {name} | `{facts['file']}` | {_numbers(facts['input'])} | {_numbers(facts['output'])} |"
            for name, facts in config["directions"].items()
        ),
        "A second output, `values`, holds the translation before rounding, float32 in [-1, 1]. Normalization, padding "
        "and cropping are inside the files. `model.safetensors` holds the weights for PyTorch.",
    ]
    return "\n\n".join(lines)


def _numbers(facts: Mapping[str, Any]) -> str:
    kind = "class ids" if facts.get("class_ids") else "numbers"
    low, high = facts["range"]
    return f"(N, H, W, {facts['channels']}) {facts['dtype']}, {kind} {low} to {high}"


def _data(config: Mapping[str, Any]) -> str:
    folders = config["dataset"]["images"]
    counted = ", ".join(f"{facts['files']} files in {name}" for name, facts in folders.items())
    return "\n\n".join(
        [
            "## Training",
            f"Training images: {counted or 'not recorded'}.",
            _options("Networks and images", MAIN_OPTIONS, config["options"]),
            _options("Training", TRAINING_OPTIONS, config["options"]),
            "All options are in `config.json`.",
        ]
    )


def _options(title: str, names: Sequence[str], options: Mapping[str, Any]) -> str:
    return f"{title}: " + ", ".join(f"`{name} {options[name]}`" for name in names if name in options) + "."


def _checkpoint(config: Mapping[str, Any]) -> str:
    facts = config["checkpoint"]
    chosen = "; ".join(f"{name}: {value}" for name, value in facts.items())
    norms = {facts["norm_statistics"] for facts in config["directions"].values()}
    return f"Checkpoint: {config['epoch']} ({chosen}). Statistics of batch norm: {', '.join(norms)}. Dropout: off."


def _scores(record: Mapping[str, Any]) -> str:
    if not record.get("scores"):
        return "## Scores\n\nThis checkpoint has no recorded scores."
    rule = {name: value for name, value in record.items() if name != "scores" and not isinstance(value, dict | list)}
    lines = ["## Scores", f"Of a test with {', '.join(f'{name} {value}' for name, value in rule.items())}."]
    rows = [
        f"| {visual} | {name} | {_score(value)}{_bounds(record, visual, name)} |"
        for visual, scores in record["scores"].items()
        for name, value in scores.items()
    ]
    return "\n\n".join([*lines, "| images | score | value |\n|---|---|---:|\n" + "\n".join(rows)])


def _bounds(record: Mapping[str, Any], visual: str, name: str) -> str:
    """The 95% confidence interval of a score, if metrics.json has one."""
    interval = record.get("intervals", {}).get(visual, {}).get(name)
    return f" [{_score(interval[0])}, {_score(interval[1])}]" if interval else ""


def _score(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _checked(config: Mapping[str, Any]) -> str:
    half = " Its weights are in float16, which changes the results:" if config["precision"] == "fp16" else ""
    lines = [_difference(facts["file"], facts["comparison"]) for facts in config["directions"].values()]
    return f"## Checked\n\nEach ONNX file was compared with the PyTorch network.{half}\n\n" + "\n".join(lines)


def _difference(file: str, facts: Mapping[str, Any]) -> str:
    levels = "1 level" if facts["max_levels"] == 1 else f"{facts['max_levels']} levels"
    return (
        f"- `{file}`: largest difference {facts['max_difference']:.1e} for values in [-1, 1]; after rounding at most "
        f"{levels}, on {100 * facts['share']:.3f}% of values ({facts['origin']})"
    )


def _limits(config: Mapping[str, Any]) -> str:
    size = config["options"].get("crop_size")
    trained = (
        f" The network was trained on images of {size} pixels; objects of other sizes translate worse." if size else ""
    )
    return (
        "## Limits\n\nThe network invents plausible details: a translation is not evidence of what the other domain "
        f"would show at that place. Images unlike the training images give meaningless results.{trained} Do not use "
        "translations for medical or legal decisions."
    )
