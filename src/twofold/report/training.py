"""The course of a training: losses between chance and floor, online kNN, health, speed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup

from twofold.evaluate.metrics import read_name
from twofold.report import wording
from twofold.report.charts import Curve, Level, line_chart
from twofold.report.run_folder import Record, RunFolder

_KNN = "online kNN, accuracy in %"
_HEALTH = {
    "std_ratio": ("Spread", "1 if embeddings fill the sphere evenly, 0 if all are the same"),
    "rankme": ("Effective rank", "how many directions the embeddings really use"),
    "rank_fraction": ("Share of directions", "the effective rank as a share of the most possible"),
    "mean_cosine": ("Cosine of two items", "0 if unrelated, 1 if all are the same"),
    "alignment": ("Distance of two views", "squared; 0 if two views of an item are the same"),
    "uniformity": ("Uniformity", "about −4 if spread over the sphere, 0 if all are the same"),
}

_CHOOSERS = {
    "rankme": "effective rank (RankMe, no labels)",
    "knn": "online kNN (labels of held-out training items)",
    "held_out": "held-out labels",
}


@dataclass(frozen=True)
class Figure:
    """A drawn chart with the words that go with it."""

    svg: Markup
    """The chart."""
    caption: str
    """What to see in it."""


@dataclass(frozen=True)
class HealthReport:
    """The last verdict on the embeddings, with its figures and their course."""

    verdict: str
    """In a word or two."""
    good: bool
    """Whether it is the verdict one hopes for."""
    sentence: str
    """The verdict with what it rests on."""
    advice: str
    """What to change."""
    figures: list[tuple[str, str, str]]
    """Name, value and meaning of each figure."""
    charts: list[Figure]
    """Their course over the epochs."""


def losses(run: RunFolder) -> list[Figure]:
    """One chart per objective, with its chance and floor where they are known."""
    names = list(dict.fromkeys(name for step in run.steps for name in step.get("losses", {})))
    x, unit = progress(run, run.steps)
    figures = []
    for name in names:
        y = _column(run.steps, "losses", name)
        levels = [
            Level(f"{kind} {wording.significant(_last(values))}", x, values, style)
            for kind, style in (("chance", "--"), ("floor", ":"))
            if np.isfinite(values := _column(run.steps, kind, name)).any()
        ]
        caption = _reading(name, y, run) + _growth(run)
        curve = Curve(f"now {wording.significant(_tail_mean(y))}", x, y, smooth=True)
        svg = line_chart(
            curve,
            levels,
            x_label=unit,
            y_label=f"loss “{name}”",
            description=caption,
            wide=len(names) == 1,
        )
        figures.append(Figure(svg, caption))
    return figures


def held_out(run: RunFolder) -> Figure | None:
    """What a network with a head reaches by epoch on labels that it does not train on."""
    measured = [epoch for epoch in run.epochs if epoch.get("held_out")]
    if len(measured) < 2:
        return None
    figures = [epoch["held_out"] for epoch in measured]
    name = read_name(figures[-1]["metric"]).words
    scale = 100 if figures[-1]["metric"] == "accuracy" else 1
    caption = f"{name[:1].upper()}{name[1:]} on {wording.count(figures[-1]['n'])} held-out labels."
    values = scale * _column(figures, "value")
    svg = line_chart(
        Curve("held-out labels", _column(measured, "epoch"), values, points=True),
        x_label="epoch",
        y_label=f"{name} in %" if scale == 100 else name,
        description=caption,
    )
    return Figure(svg, caption)


def online_knn(run: RunFolder) -> Figure | None:
    """Accuracy of the online kNN by epoch, with its interval."""
    figures = [epoch["knn"] for epoch in run.epochs if epoch.get("knn")]
    if not figures:
        return None
    last = figures[-1]
    caption = (
        f"Online kNN: {wording.percent(last['value'])} ({wording.interval(last['ci95'])}) of "
        f"{wording.count(last['n'])} training items that the run does not train on. "
        "The band is the 95 % interval."
    )
    if len(figures) == 1:
        return Figure(Markup(), caption.removesuffix(" The band is the 95 % interval."))
    curve = _knn_curve(run, wording.percent(last["value"]))
    svg = line_chart(curve, x_label="epoch", y_label=_KNN, description=caption)
    return Figure(svg, caption)


def chosen(run: RunFolder) -> str | None:
    """Which epoch's encoder the run ended with, and which one each measure would have chosen."""
    choice = (run.end or {}).get("chosen")
    if not choice:
        return None
    by = {"last": "the last"} | {rule: f"the best by {words}" for rule, words in _CHOOSERS.items()}
    would = [
        f"{words} epoch {choice['best'][rule]['epoch']}"
        for rule, words in _CHOOSERS.items()
        if rule in choice["best"]
    ]
    sentence = f"The encoder is that of epoch {choice['epoch']}, {by[choice['rule']]}."
    return sentence + (f" Best of the measured ones: by {', by '.join(would)}." if would else "")


def overlaid(runs: Mapping[str, RunFolder]) -> Figure | None:
    """The online kNN of several runs in one chart, or their losses where none has measured it."""
    curves = [_knn_curve(run, name) for name, run in runs.items()]
    y_label, unit = _KNN, "epoch"
    caption = "Accuracy on training items that the runs do not train on; bands are 95 % intervals."
    if not any(len(curve.x) for curve in curves):
        y_label = "loss"
        lengths = [progress(run, run.steps) for run in runs.values()]
        unit = "epoch" if all(unit == "epoch" for _, unit in lengths) else "step"
        curves = [
            Curve(name, x if unit == "epoch" else _column(run.steps, "step"), y, smooth=True)
            for (name, run), (x, _) in zip(runs.items(), lengths, strict=True)
            if len(y := _column(run.steps, "loss"))
        ]
        caption = (
            "Total loss. Losses under another objective, temperature or batch size have another "
            "scale: the lower one need not be the better one."
        )
    drawn = [replace(curve, label=abridged(curve.label)) for curve in curves if len(curve.x)]
    if not drawn:
        return None
    svg = line_chart(drawn, x_label=unit, y_label=y_label, description=caption, wide=True)
    return Figure(svg, caption)


def learning_rate(run: RunFolder) -> Figure | None:
    """The learning rate by step."""
    rates = _column(run.steps, "lr")
    if not np.isfinite(rates).any():
        return None
    x, unit = progress(run, run.steps)
    highest = wording.significant(float(np.nanmax(rates)))
    caption = f"Learning rate: at most {highest}, {wording.significant(_last(rates))} at the end."
    curve = Curve(wording.significant(_last(rates)), x, rates)
    return Figure(
        line_chart(curve, x_label=unit, y_label="learning rate", description=caption), caption
    )


def throughput(run: RunFolder) -> Figure | None:
    """Items per second by step."""
    rates = _column(run.steps, "images_per_s")
    if not np.isfinite(rates).any():
        return None
    x, unit = progress(run, run.steps)
    middle = wording.count(float(np.nanmedian(rates)))
    caption = f"Training speed: {middle} items per second (median). A steady line is a good one."
    top = 1.15 * float(np.nanquantile(rates, 0.99))
    curve = Curve(middle, x, rates, smooth=True)
    svg = line_chart(
        curve, x_label=unit, y_label="items per second", description=caption, y_range=(0, top)
    )
    return Figure(svg, caption)


def health(run: RunFolder) -> HealthReport | None:
    """The last verdict on the embeddings, and how its figures came about."""
    measured = [epoch for epoch in run.epochs if epoch.get("health")]
    if not measured:
        return None
    last: dict[str, Any] = measured[-1]["health"]
    figures = [
        (name, wording.significant(last[key]), meaning)
        for key, (name, meaning) in _HEALTH.items()
        if last.get(key) is not None
    ]
    charts = [_course(measured, key) for key in ("rankme", "alignment")]
    verdict = str(last.get("verdict", "unknown"))
    return HealthReport(
        verdict=verdict[:1].upper() + verdict[1:],
        good=verdict == "healthy",
        sentence=_without_prefix(str(last.get("sentence", "")), verdict),
        advice=str(last.get("advice", "")),
        figures=figures,
        charts=[chart for chart in charts if chart is not None],
    )


def warnings(run: RunFolder) -> list[str]:
    """What a reader must know before trusting the curves."""
    found = []
    broken = [s["step"] for s in run.steps if not np.isfinite(float(s.get("loss", 0.0)))]
    if broken:
        found.append(f"The loss is not a finite number at step {wording.count(broken[0])}.")
    if run.not_taken:
        steps = ", ".join(str(line["step"]) for line in run.not_taken)
        found.append(f"Not taken, for a loss or gradient was not finite: step {steps}.")
    if run.steps and run.end is None:
        last = wording.count(run.steps[-1]["step"])
        found.append(f"This run has not ended: its last recorded step is {last}.")
    return found


def _knn_curve(run: RunFolder, label: str) -> Curve:
    """The online kNN at the epochs that measured it, none if none did."""
    measured = [epoch for epoch in run.epochs if epoch.get("knn")]
    figures = [epoch["knn"] for epoch in measured]
    bounds = 100 * np.array([figure["ci95"] for figure in figures], np.float64).reshape(-1, 2)
    return Curve(
        label,
        _column(measured, "epoch"),
        100 * _column(figures, "value"),
        low=bounds[:, 0],
        high=bounds[:, 1],
        points=True,
    )


def abridged(name: str, room: int = 14) -> str:
    """A name of at most `room` characters: names of runs often differ at their end.

    Example:
        >>> abridged("short"), abridged("simclr-temperature-0.5")
        ('short', 'simcl…ture-0.5')
    """
    tail = room * 4 // 7
    return name if len(name) <= room else f"{name[: room - tail - 1]}…{name[-tail:]}"


def _course(measured: list[Record], key: str) -> Figure | None:
    if len(measured) < 2:
        return None
    values = _column(measured, "health", key)
    if not np.isfinite(values).any():
        return None
    name, meaning = _HEALTH[key]
    caption = f"{name}: {meaning}."
    curve = Curve(
        wording.significant(_last(values)), _column(measured, "epoch"), values, points=True
    )
    svg = line_chart(curve, x_label="epoch", y_label=name.lower(), description=caption)
    return Figure(svg, caption)


def _without_prefix(sentence: str, verdict: str) -> str:
    """The sentence alone, for the verdict stands above it already."""
    head, _, rest = sentence.partition(": ")
    return rest[:1].upper() + rest[1:] if rest and head.lower() == verdict.lower() else sentence


def _reading(name: str, y: np.ndarray, run: RunFolder) -> str:
    """A loss in words: where it is between what guessing gives and the least there is."""
    now = _tail_mean(y)
    chance = _last(_column(run.steps, "chance", name))
    floor = _last(_column(run.steps, "floor", name))
    text = f"Loss “{name}”: {wording.significant(now)} over the last steps"
    if np.isfinite(chance) and np.isfinite(floor) and chance > floor:
        share = 100 * (chance - now) / (chance - floor)
        return (
            f"{text}. Guessing gives {wording.significant(chance)} (chance), and no embedding can "
            f"come below {wording.significant(floor)} (floor): the run has gone {share:.0f} % of "
            "that way."
        )
    for value, words in ((chance, "guessing gives"), (floor, "the least possible is")):
        if np.isfinite(value):
            text += f"; {words} {wording.significant(value)}"
    return f"{text}."


def _growth(run: RunFolder) -> str:
    """Where the loss steps because views grow; blank for views of one size."""
    recipe = run.config.get("recipe")
    told = recipe if isinstance(recipe, Mapping) else {}
    share, resolution = told.get("early_share"), told.get("early_resolution")
    if not isinstance(share, float) or not isinstance(resolution, float):
        return ""
    if not 0 < share < 1 or resolution >= 1:
        return ""
    return (
        f" Views grow from {100 * resolution:.0f} % of their size to the whole after "
        f"{100 * share:.0f} % of the training; a step there is theirs."
    )


def _column(records: list[Record], key: str, name: str | None = None) -> np.ndarray:
    """One value of every record, NaN where it has none."""
    values = [r.get(key) if name is None else (r.get(key) or {}).get(name) for r in records]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def progress(run: RunFolder, records: list[Record]) -> tuple[np.ndarray, str]:
    """Where records lie along the training: in epochs if their length is known, else in steps."""
    steps = _column(records, "step")
    if run.epochs and run.epochs[-1].get("step"):
        return steps * (run.epochs[-1]["epoch"] / run.epochs[-1]["step"]), "epoch"
    return steps, "step"


def _last(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


def _tail_mean(values: np.ndarray) -> float:
    """The mean over the last twentieth: one batch alone says little."""
    finite = values[np.isfinite(values)]
    return float(finite[-max(1, len(finite) // 20) :].mean()) if len(finite) else float("nan")
