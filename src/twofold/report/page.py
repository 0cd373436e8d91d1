"""The page of a run: one HTML file that shows all of it and asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np

from twofold.evaluate.metrics import PROBES
from twofold.folder import REPORT, write_atomically
from twofold.preprocess import read_preprocess
from twofold.report import (
    balance,
    conserved,
    gallery,
    observed,
    prescription,
    probes,
    run_folder,
    summary,
    training,
)
from twofold.report.pictures import Scale
from twofold.report.run_folder import RunFolder

if TYPE_CHECKING:
    from twofold.augment import Views
    from twofold.domains import Data
    from twofold.positives import Groups

_SECTIONS = {
    "prescription": "Prescription",
    "run": "What was run",
    "conserved": "What is conserved",
    "quality": "Quality of the features",
    "training": "Course of the training",
    "health": "Health",
    "items": "What the data are",
    "views": "What training sees",
    "neighbours": "Nearest neighbours",
    "map": "Map of the embeddings",
    "cost": "Cost",
}


@dataclass(frozen=True)
class _Pictures:
    """What the page shows of the data; None or empty where it cannot."""

    sheet: gallery.ViewSheet | None
    neighbours: list[gallery.Neighbours]
    agreement: str
    plot: gallery.Map | None
    classes: list[summary.Row]
    confusions: list[str]
    missing: str
    note: str
    items: observed.Observed | None


def write(
    run_dir: str | Path,
    data: Data | None = None,
    views: Views | None = None,
    groups: Groups | None = None,
) -> Path:
    """Write `report.html` of a run, from whatever the run has left so far.

    The page is one file below 3 MB with pictures, curves and script inside. A section whose
    ingredients are missing says so in one sentence.

    Args:
        run_dir: Folder of the run.
        data: The data of the run, for pictures and class names; left out if it is not the same.
        views: How the run made its views, to show some.
        groups: Groups whose items were positives of each other, if any were.

    Returns:
        Path of the page.

    Raises:
        TwofoldError: If `run_dir` is not a run folder.
    """
    run = run_folder.read(run_dir)
    return write_page(run.path / REPORT, "template.html.j2", _context(run, data, views, groups))


def write_page(path: Path, template: str, context: Mapping[str, Any]) -> Path:
    """Render a template to a file; names of classes, items and runs are escaped, not markup."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = environment.get_template("map.js.j2").render()  # the one that a browser may run
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = environment.get_template(template).render(context, script_digest=digest)
    write_atomically(path, page.encode("utf-8", "replace"))
    return path


def _context(
    run: RunFolder, data: Data | None, views: Views | None, groups: Groups | None
) -> dict[str, Any]:
    judged = summary.probes(run)
    pictures = _pictures(run, data, views, groups)
    proof, awaits_proof = prescription.proof(run), prescription.awaits_proof(run)
    learned = conserved.learned(run, data) if data and not pictures.missing else None
    shown = {
        "prescription": proof or awaits_proof,
        "conserved": learned,
        "items": pictures.items,
    }
    sections = {id: name for id, name in _SECTIONS.items() if shown.get(id, True)}
    if pictures.items:
        sections["items"] = pictures.items.title
    return {
        "sections": sections,
        "name": run.path.resolve().name,
        "title": summary.title(run),
        "notes": [*run.notes, *training.warnings(run)],
        "tiles": [*filter(None, [learned and learned.tile]), *summary.tiles(run)],
        "facts": summary.facts(run),
        "prescription": summary.prescription(run),
        "proof": proof,
        "awaits_proof": awaits_proof,
        "share_axis": prescription.AXIS,
        "zones": prescription.ZONES,
        "columns": prescription.COLUMNS,
        "path": str(run.path),
        "config_text": run.config_text,
        "learned": learned,
        "probes": judged,
        "axis": summary.axis([row for p in judged for row in p.rows]) if judged else None,
        "tables": probes.tables(run),
        "transfer": probes.transfer(run),
        "pictures": pictures,
        "class_axis": summary.axis(pictures.classes) if pictures.classes else None,
        "losses": training.losses(run),
        "balance": balance.curves(run),
        "course": list(
            filter(
                None,
                [training.online_knn(run), training.held_out(run), training.learning_rate(run)],
            )
        ),
        "chosen": training.chosen(run),
        "health": training.health(run),
        "speed": training.throughput(run),
        "cost": summary.cost(run),
        "version": run.config.get("found", {}).get("twofold", ""),
    }


def _pictures(
    run: RunFolder, data: Data | None, views: Views | None, groups: Groups | None
) -> _Pictures:
    missing = _mismatch(run, data)
    data = None if missing or data is None else _with_classes(data)
    arrays = run.arrays
    scale: Scale | None = None
    fitted = run.config.get("found", {}).get("preprocess")
    preprocess = read_preprocess(fitted) if fitted else None
    if data is not None:
        known = (preprocess.low, preprocess.high) if preprocess else (None, None)
        scale = gallery.picture_scale(data, *known)
    sheet = gallery.view_sheet(data, views, preprocess, groups) if data and views else None
    has_neighbours = {"query_index", "neighbour_index", "neighbour_similarity"} <= arrays.keys()
    rows: list[summary.Row] = []
    confusions: list[str] = []
    if data and data.test.labels is not None and "predictions" in arrays:
        names = gallery.class_names(data.test)
        rows, confusions = summary.classes(arrays["predictions"], data.test.labels, names)
    shown = data is not None and scale is not None and has_neighbours
    return _Pictures(
        sheet=sheet,
        neighbours=gallery.neighbours(data, arrays, scale) if shown and data and scale else [],
        agreement=gallery.neighbour_agreement(data, arrays) if shown and data else "",
        plot=gallery.embedding_plot(data, arrays, scale),
        classes=rows,
        confusions=confusions,
        missing=missing,
        note=scale.note if scale else "",
        items=observed.observed(data) if data else None,
    )


def _with_classes(data: Data) -> Data:
    """The data without labels, if those are numbers: pictures are told by class alone."""
    if data.test.classes or data.test.labels is None:
        return data
    train, test = (replace(source, labels=None) for source in (data.train, data.test))
    return replace(data, train=train, test=test)


def _mismatch(run: RunFolder, data: Data | None) -> str:
    """Why there are no pictures; empty if the data is at hand and is the run's."""
    if data is None:
        return "The data was not at hand when this page was written, so its pictures are left out."
    expected = run.config.get("found", {}).get("fingerprint")
    if expected is not None and data.train.fingerprint() != expected:
        return "The data given is not the data of this run, so its pictures are left out."
    judged = {
        entry.get("protocol", {}).get("fingerprint")
        for name, entry in run.evaluation.items()
        if name in PROBES
    } - {None}
    if judged and judged != {data.test.fingerprint()}:
        return "The features were judged on other items than the run's, so pictures are left out."
    for key, size in (
        ("query_index", len(data.test)),
        ("map_index", len(data.test)),
        ("neighbour_index", len(data.train)),
    ):
        if key in run.arrays and np.max(run.arrays[key], initial=-1) >= size:
            return "The data given has fewer items than the run's, so its pictures are left out."
    if "predictions" in run.arrays and len(run.arrays["predictions"]) != len(data.test):
        return "The data given has other test items than the run's, so its pictures are left out."
    return ""
