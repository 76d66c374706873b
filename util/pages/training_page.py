"""The training page: samples by epoch, newest first, curves of validation and losses, and options."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from dominate import tags

from util.files import json_sum, sha256
from util.pages.charts import HEIGHT, WIDTH, draw_loss_curves, draw_score_curves
from util.pages.html import Group, Picture, address, page, picture_row, save_picture, write_errors, write_file

ROWS_PER_PAGE = 100
RELOAD_SECONDS = 30


@dataclass(frozen=True)
class Samples:
    """The pictures of one epoch; `images` is how many images the run had seen."""

    epoch: int
    images: int
    pictures: tuple[Picture, ...]
    fixed: tuple[tuple[str, tuple[Picture, ...]], ...] = ()
    """Pictures of the samples that every epoch shows, each with the names of its files."""

    @property
    def groups(self) -> list[Group]:
        """All pictures: first the fixed ones, so that a column shows the same image in every epoch."""
        latest = ("last training step" if self.fixed else "", self.pictures)
        return [*((f"fixed: {title}", pictures) for title, pictures in self.fixed), latest]

    @classmethod
    def from_line(cls, line: str) -> Samples:
        """Parse a line of `to_line`. Raises ValueError, KeyError or TypeError for any other text."""
        record = json.loads(line)
        values = record["samples"]
        if record["sha256"] != json_sum(values):
            raise ValueError("the line is damaged")
        pictures = _pictures(values["pictures"])
        fixed = tuple((str(title), _pictures(group)) for title, group in values.get("fixed", ()))
        return cls(int(values["epoch"]), int(values["images"]), pictures, fixed)

    def to_line(self) -> str:
        values = asdict(self)
        return json.dumps({"samples": values, "sha256": json_sum(values)}) + "\n"

    def is_intact(self, folder: Path) -> bool:
        """Whether every picture's file exists and has its SHA-256 sum."""
        pictures = [picture for _, group in self.groups for picture in group]
        files = ((folder / picture.file, picture.sha256) for picture in pictures)
        return all(file.is_file() and sha256(file) == total for file, total in files)


def _pictures(values: Sequence[Mapping[str, Any]]) -> tuple[Picture, ...]:
    if any(picture["width"] < 1 or picture["height"] < 1 for picture in values):
        raise ValueError("a picture has no size")
    return tuple(Picture(**picture) for picture in values)


class TrainingPage:
    """`folder`/index.html with the newest 100 to 200 epochs and links to pages of earlier ones, 100 each.

    A page of earlier epochs is written once, so the cost of an epoch does not grow with their number. The rows are
    also recorded in samples.jsonl, from which a resumed run restores them. Raises UserError, with the file, if a file
    can't be written; a later call can succeed again.
    """

    def __init__(
        self,
        folder: Path,
        title: str,
        options: Mapping[str, object],
        image_width: int = 256,
        seen: int | None = None,
    ) -> None:
        """Restore the rows of the earlier sessions and write the page.

        Args:
            options: by name, shown as a table.
            image_width: largest width of a picture on the page, in pixels.
            seen: images the run has seen so far. Rows made after more images are dropped: the run will make them
                again. None keeps all rows.
        """
        self.folder = folder
        self.title = title
        self.options = options
        self.image_width = image_width
        self.rows: dict[int, str] = {}
        self.earlier_pages = 0
        self.status: list[str] = []
        self.newest = 0  # images seen, for the status
        self.curves: dict[str, dict[str, str]] = {}  # files by panel, by section of the page
        self.state = "training"
        self.removed_epochs: list[int] = []  # whose pictures are damaged or missing
        for samples in self._restore(seen):
            self._add_row(samples)
        self._write(changed=0)

    def add_samples(
        self,
        epoch: int,
        images: int,
        visuals: Mapping[str, np.ndarray],
        fixed: Sequence[tuple[str, Mapping[str, np.ndarray]]] = (),
    ) -> None:
        """Add or replace an epoch's row; `visuals` are images, uint8 (H, W, 3) or (H, W), by name.

        `fixed`: images of the samples that every epoch shows, each with the names of its files.
        """
        pictures = tuple(
            save_picture(self.folder, f"images/epoch{epoch:03d}_{name}.png", name, image)
            for name, image in visuals.items()
        )
        samples = Samples(epoch, images, pictures, tuple(self._save_fixed(epoch, fixed)))
        record = self.folder / "samples.jsonl"
        with write_errors(record), open(record, "a", encoding="utf-8") as file:
            file.write(samples.to_line())
        self._add_row(samples)
        self._write(changed=sorted(self.rows).index(epoch))

    def _save_fixed(
        self, epoch: int, fixed: Sequence[tuple[str, Mapping[str, np.ndarray]]]
    ) -> Iterator[tuple[str, tuple[Picture, ...]]]:
        """Save the images of fixed samples. Inputs, which all epochs share, are files named after their content."""
        for number, (title, visuals) in enumerate(fixed, 1):
            pictures = []
            for name, image in visuals.items():
                start = f"epoch{epoch:03d}_fixed{number}"
                if name.startswith("real"):
                    start = f"input_{hashlib.sha256(image.tobytes()).hexdigest()[:12]}"
                pictures.append(save_picture(self.folder, f"images/{start}_{name}.png", name, image))
            yield title, tuple(pictures)

    def update_curves(self, records: Sequence[Mapping[str, float]], scores: Sequence[Mapping[str, float]] = ()) -> None:
        """Redraw all curves: of validation from the lines of metrics.jsonl, of losses from those of losses.jsonl."""
        sections = {"Validation": draw_score_curves(scores), "Losses": draw_loss_curves(records)}
        for section, drawings in sections.items():
            self.curves[section] = {panel: curve_file(panel) for panel in drawings}
            for panel, drawing in drawings.items():
                write_file(self.folder / curve_file(panel), drawing)
        if records:
            self._set_status(int(records[-1]["epoch"]), int(records[-1]["images"]))
        self._write(changed=len(self.rows))

    def finish(self, complete: bool) -> None:
        """Write the page a last time, without automatic reload. `complete`: whether all epochs are done."""
        self.state = "finished" if complete else "stopped"
        self._write(changed=len(self.rows))

    def _restore(self, seen: int | None) -> list[Samples]:
        """The intact rows of earlier sessions in epoch order; samples.jsonl is rewritten with these only."""
        file = self.folder / "samples.jsonl"
        found: dict[int, Samples] = {}
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else ():
            try:
                samples = Samples.from_line(line)
            except (ValueError, KeyError, TypeError):
                continue  # an incomplete line of a killed run
            found[samples.epoch] = samples
        rows = [found[epoch] for epoch in sorted(found) if seen is None or found[epoch].images <= seen]
        kept = [samples for samples in rows if samples.is_intact(self.folder)]
        self.removed_epochs = [samples.epoch for samples in rows if samples not in kept]
        write_file(file, "".join(samples.to_line() for samples in kept))
        for outdated in self.folder.glob("earlier_*.html"):
            outdated.unlink()
        return kept

    def _add_row(self, samples: Samples) -> None:
        caption = [tags.span(f"epoch {samples.epoch}"), tags.small(f"{samples.images:,} images")]
        row = picture_row(caption, samples.groups, self.image_width, f"epoch-{samples.epoch}")
        self.rows[samples.epoch] = row
        self._set_status(samples.epoch, samples.images)

    def _set_status(self, epoch: int, images: int) -> None:
        """Show the newest of losses and samples."""
        if images < self.newest:
            return
        self.newest = images
        self.status = [f"epoch {epoch}", f"{images:,} images"]

    def _write(self, changed: int) -> None:
        """Write index.html, and the pages of earlier epochs that are new or contain row number `changed`."""
        epochs = sorted(self.rows)
        needed = max(0, (len(epochs) - 1) // ROWS_PER_PAGE - 1)
        for number in range(min(self.earlier_pages, changed // ROWS_PER_PAGE), needed):
            self._write_earlier(number, epochs[number * ROWS_PER_PAGE :][:ROWS_PER_PAGE])
        self.earlier_pages = needed
        newest = epochs[needed * ROWS_PER_PAGE :]
        content = [*self._curves(), self._options(), *self._newest_first(newest)]
        if needed:
            firsts = epochs[: needed * ROWS_PER_PAGE : ROWS_PER_PAGE]
            links = (tags.a(f"from {epoch}", href=earlier(number)) for number, epoch in enumerate(firsts))
            content.append(_render(tags.nav("Earlier epochs:", *reversed(list(links)), cls="pages")))
        state = f"{self.state}, as of {datetime.now():%Y-%m-%d %H:%M}"
        reload_seconds = RELOAD_SECONDS if self.state == "training" else 0
        write_file(
            self.folder / "index.html",
            page(self.title, [*self.status, state], content, self.image_width, reload_seconds),
        )

    def _write_earlier(self, number: int, epochs: Sequence[int]) -> None:
        links = tags.nav(tags.a("newest epochs", href="index.html"), cls="pages")
        if number > 0:
            links.add(tags.a("earlier epochs", href=earlier(number - 1)))
        content = [*self._newest_first(epochs), _render(links)]
        status = [f"epochs {epochs[0]} to {epochs[-1]}"]
        write_file(self.folder / earlier(number), page(self.title, status, content, self.image_width))

    def _newest_first(self, epochs: Sequence[int]) -> list[str]:
        return [self.rows[epoch] for epoch in reversed(epochs)]

    def _curves(self) -> Iterator[str]:
        """The sections with curves; one without any is left out."""
        for section, files in self.curves.items():
            pictures = [
                tags.figure(
                    tags.a(
                        tags.img(src=address(file), alt=f"{panel} by epoch", width=WIDTH, height=HEIGHT),
                        href=address(file),
                        cls="zoom",
                    )
                )
                for panel, file in files.items()
            ]
            if pictures:
                yield _render(tags.details(tags.summary(section), tags.div(pictures, cls="curves"), open=True))

    def _options(self) -> str:
        table = tags.table(tags.tr(tags.th(name), tags.td(str(value))) for name, value in self.options.items())
        return _render(tags.details(tags.summary(f"Options ({len(self.options)})"), table))


def earlier(number: int) -> str:
    """The file of a page of earlier epochs; `number` counts from 0."""
    return f"earlier_{number + 1}.html"


def curve_file(panel: str) -> str:
    """The file of a loss curve; other characters than these in a loss's name become underscores."""
    return f"curve_{re.sub('[^A-Za-z0-9_.-]', '_', panel)}.svg"


def _render(tag: Any) -> str:
    return str(tag.render(pretty=False))
