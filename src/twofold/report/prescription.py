"""Whether the prescription took: what embeddings keep of each augmentation, against its word."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twofold.evaluate.prescription import ALIKE, FORGOTTEN, KEPT
from twofold.report import wording
from twofold.report.run_folder import RunFolder
from twofold.report.summary import Axis

AXIS = Axis(-0.15, 1.15, [0.0, 1.0])
"""From chance or unrelated items, 0, to the ceiling or equal embeddings, 1, with some room."""
ZONES = {"ignored": (AXIS.low, FORGOTTEN), "kept": (KEPT, AXIS.high), "alike": (ALIKE, AXIS.high)}
"""Shares that go by a name."""

_RECOVERED = f"a linear probe recovers at least {KEPT:g} of it"
_ASKS = {
    "sensitive": ("kept", _RECOVERED),
    "both": ("kept", f"{_RECOVERED}, though views of a pair differ in it"),
    "blind": (
        "ignored",
        f"a linear probe recovers at most {FORGOTTEN:g} of it; an MLP probe may find more",
    ),
    "invariant": ("alike", f"embeddings stay alike, ≥ {ALIKE:g}; it may still be recovered"),
}
_BOUNDS = {"kept": f"≥ {KEPT:.2f}", "ignored": f"≤ {FORGOTTEN:.2f}", "alike": f"≥ {ALIKE:.2f}"}


@dataclass(frozen=True)
class Word:
    """A word in use, for the legend."""

    word: str
    """The word."""
    asks: str
    """What an embedding must do to achieve it."""


@dataclass(frozen=True)
class Mark:
    """A figure with its interval; as a share, drawn at the end of the axis where it lies beyond."""

    value: float
    """The figure."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of it."""

    def share(self, zero: float, one: float) -> Mark:
        """The same on the scale on which `zero` is 0 and `one` is 1."""
        reach = max(one - zero, 1e-6)
        value, low, high = ((end - zero) / reach for end in (self.value, self.low, self.high))
        return Mark(value, low, high)

    def read(self, places: int) -> tuple[str, str]:
        """The figure and its interval as read."""
        value, low, high = (
            wording.decimals(end, places) for end in (self.value, self.low, self.high)
        )
        return value, f"{low} to {high}"

    @property
    def text(self) -> str:
        """A share as read."""
        return wording.decimals(self.value, 2)

    @property
    def beyond(self) -> str:
        """Past which end of the axis it lies; empty if it is on it."""
        return "low" if self.value < AXIS.low else "high" if self.value > AXIS.high else ""

    @property
    def at(self) -> str:
        """Where it is drawn, in percent of the width."""
        return _place(self.value)

    @property
    def bar(self) -> tuple[str, str]:
        """Where its interval is drawn from and to, in percent of the width."""
        return _place(self.low), _place(self.high)


@dataclass(frozen=True)
class Lane:
    """What one reading of the encoder keeps of an augmentation."""

    reading: str
    """The layer or route, as a reader calls it."""
    decisive: bool
    """Whether the word is judged on it."""
    share: Mark
    """How much of it a linear probe recovers."""
    mlp: Mark
    """How much of it a probe with a hidden layer recovers."""
    alike: Mark
    """How alike embeddings stay under it."""
    figures: tuple[tuple[str, str], ...]
    """Every measured figure and its interval, in the order of `COLUMNS`."""
    does: str
    """What the reading does with it."""
    n: int
    """Number of test items."""


COLUMNS = {
    "linear probe": "what a logistic or ridge regression recovers of the draw",
    "share": "the way of that value from chance, 0, to the ceiling, 1",
    "alike": "the mean similarity of an item and its changed self, the embeddings whitened: 0 as "
    "between unrelated items, 1 if equal",
    "nearest": "changed items whose nearest unchanged item is their own",
    "MLP probe": "what a probe with one hidden layer recovers, which also sees what is not linear",
}
"""Columns of the table of figures, each with how it is measured."""


@dataclass(frozen=True)
class Row:
    """One augmentation, what was prescribed for it and what became of that."""

    name: str
    """The augmentation."""
    word: str
    """What was prescribed; empty if nothing was."""
    asked: str
    """The zone in which the word wants the decisive reading; empty if in none."""
    achieved: bool | None
    """Whether it lies there; None where nothing was prescribed."""
    detail: str
    """The number that decides beside what was asked."""
    measured: str
    """Metric, chance and ceiling."""
    ceiling: bool
    """Whether an encoder was trained to find the ceiling."""
    lanes: list[Lane]
    """Each reading of the encoder."""

    @property
    def verdict(self) -> str:
        """In words, with a mark."""
        return {True: "✓ achieved", False: "✗ not achieved", None: "nothing prescribed"}[
            self.achieved
        ]


@dataclass(frozen=True)
class Proof:
    """What `twofold prove` found, ready to be shown."""

    rows: list[Row]
    """The augmentations, those with the same word together."""
    words: list[Word]
    """The words in use."""
    headline: str
    """How many words were achieved, in a sentence."""
    good: bool | None
    """Whether all were; None where nothing was prescribed."""
    protocol: list[str]
    """How it was measured, sentence by sentence."""
    unread: str
    """What could not be read; empty if all was."""


def proof(run: RunFolder) -> Proof | None:
    """The proof of a run's prescription; None if there is none."""
    written = run.evaluation.get("prescription")
    if written is None:
        return None
    found = written.get("augmentations") if isinstance(written, Mapping) else None
    rows, unread = [], []
    for name, one in found.items() if isinstance(found, Mapping) else ():
        try:
            rows.append(_row(str(name), one))
        except (AttributeError, LookupError, TypeError, ValueError):
            unread.append(_named(str(name)))
    order = [*_ASKS, ""]
    rows.sort(key=lambda row: order.index(row.word))
    judged = [row for row in rows if row.achieved is not None]
    return Proof(
        rows=rows,
        words=[Word(word, _ASKS[word][1]) for word in _ASKS if word in {row.word for row in rows}],
        headline=_headline(judged),
        good=all(row.achieved for row in judged) if judged else None,
        protocol=_protocol(written.get("protocol"), rows) if rows else [],
        unread=_unread(rows, unread),
    )


def awaits_proof(run: RunFolder) -> bool:
    """Whether something was prescribed that only a proof can show, and none is at hand."""
    recipe = run.config.get("recipe")
    words = recipe.get("prescription") if isinstance(recipe, Mapping) else None
    given = words.values() if isinstance(words, Mapping) else ()
    asks_more = any(word in ("sensitive", "both", "blind") for word in given)
    return asks_more and run.evaluation.get("prescription") is None


def _row(name: str, one: Mapping[str, Any]) -> Row:
    word, top, readings = one.get("word"), _number(one["top"]), one["readings"]
    word = word if word in _ASKS else ""
    asked = _ASKS[word][0] if word else ""
    judged_on = one["judged_on"]
    lanes = {key: _lane(key, seen, top, key == judged_on) for key, seen in readings.items()}
    decisive, ceiling = lanes[judged_on], one.get("ceiling")
    achieved = readings[judged_on]["verdict"]["achieved"] if word else None
    if word and not isinstance(achieved, bool):
        raise ValueError(f"achieved is {achieved!r}; must be true or false")
    detail = f"{decisive.does} ({decisive.share.text})"
    if asked:
        deciding = f"alike {decisive.alike.text}" if asked == "alike" else decisive.share.text
        detail = f"{deciding}, needs {_BOUNDS[asked]}"
    return Row(
        name=_named(name),
        word=word,
        asked=asked,
        achieved=achieved,
        detail=detail,
        measured=_measured(readings[judged_on]["decoded"], ceiling, top),
        ceiling=ceiling is not None,
        lanes=list(lanes.values()),
    )


def _lane(key: str, seen: Mapping[str, Any], top: float, decisive: bool) -> Lane:
    linear, mlp, alike = (_mark(seen[key]) for key in ("decoded", "decoded_mlp", "similarity"))
    nearest, chance = _mark(seen["similarity"]["nearest"]), _number(seen["decoded"]["chance"])
    share = linear.share(chance, top)
    close = alike.share(_number(seen["similarity"]["random"]), 1.0)
    return Lane(
        reading=_called(key),
        decisive=decisive,
        share=share,
        mlp=mlp.share(chance, top),
        alike=close,
        figures=(
            linear.read(3),
            share.read(2),
            close.read(2),
            (wording.percent(nearest.value), wording.interval((nearest.low, nearest.high))),
            mlp.read(3),
        ),
        does=str(seen["verdict"]["does"]),
        n=int(seen["decoded"]["n"]),
    )


def _mark(figure: Mapping[str, Any]) -> Mark:
    low, high = figure["ci95"]
    return Mark(_number(figure["value"]), _number(low), _number(high))


def _measured(decoded: Mapping[str, Any], ceiling: Any, top: float) -> str:
    chance = wording.decimals(_number(decoded["chance"]), 3)
    text = f"{decoded['metric']}, chance {chance}, ceiling"
    if ceiling is None:
        return f"{text} {top:.3f}, as none was trained"
    reached = _mark(ceiling)
    value, bounds = reached.read(3)
    surpassed = f"; a reading here reaches {top:.3f}" if reached.value < top else ""
    return f"{text} {value} ({bounds}){surpassed}"


def _headline(judged: Sequence[Row]) -> str:
    if not judged:
        return "Nothing was prescribed: this is what embeddings keep"
    missed = [row.name for row in judged if not row.achieved]
    count = f"{len(judged) - len(missed)} of {len(judged)} words achieved"
    return f"{count}; not for {', '.join(missed)}" if missed else count


def _protocol(settings: Any, rows: Sequence[Row]) -> list[str]:
    """How the figures came about, in sentences."""
    counts = {lane.n for row in rows for lane in row.lanes}
    n = " to ".join(dict.fromkeys(map(wording.count, (min(counts), max(counts)))))
    sentences = [
        f"Probes learned on training items and were judged on {n} test items that neither they nor "
        "the encoder saw before; each augmentation was drawn alone."
    ]
    if any(row.ceiling for row in rows):
        epochs = settings.get("ceiling_epochs") if isinstance(settings, Mapping) else None
        length = f" for {epochs} epoch{'s' if epochs != 1 else ''}" if epochs else ""
        sentences.append(
            "The ceiling is what the linear probe reaches on a network of the same kind that was "
            f"trained{length} to recover this augmentation and nothing else; where a reading of "
            "this run reaches more, its value is the ceiling. Intervals are over test items and "
            "take the ceiling as known."
        )
    else:
        sentences.append("No ceiling was trained: 1 stands for it, which no probe surpasses.")
    if any(row.word == "blind" for row in rows):
        sentences.append(
            "What is blind is erased for linear probes alone: a hollow dot farther right tells "
            "that it can still be found in a way that is not linear."
        )
    return sentences


def _unread(rows: Sequence[Row], unread: Sequence[str]) -> str:
    if unread:
        return f"What the proof says of {', '.join(unread)} could not be read."
    return "" if rows else "The proof in evaluation.json could not be read."


def _called(reading: str) -> str:
    """A reading as a reader calls it: routes carry no other name than their own."""
    layer = reading == "features" or reading.startswith("projector.")
    return reading.replace(".", " ") if layer else f"{reading} route"


def _named(name: str) -> str:
    return name.replace("_", " ")


def _number(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is no finite number")
    return number


def _place(value: float) -> str:
    return AXIS.place(min(max(value, AXIS.low), AXIS.high))
