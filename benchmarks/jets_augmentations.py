"""Jets: which augmentations help, word by word.

    python benchmarks/jets_augmentations.py [--jets 12000] [--epochs 4] [--seeds 0 1 2] [--jobs 2]
                                            [--runs FOLDER] [--results FILE] [--docs FOLDER]

SimCLR ignores all augmentations of jets but `phi_roll`; then one of them at a time is off, or kept
(`sensitive`) instead; those that move deposits, or those that change energies, are alone; or
energies are read on the linear scale. Frozen features are judged by linear probes of the class and
of the mass, on a quarter of the training jets that was held out: the jets that `benchmarks/jets.py`
judges on stay unseen.

Every run is a process on one thread. Figures are written to
benchmarks/results/jets_augmentations.json as soon as they are there, and not measured again. Once
all are, docs/jets_augmentations.md is written from them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jets
import runs
import twofold
from twofold.domains import split
from twofold.domains.names import DOMAINS
from twofold.evaluate import evaluate

STRONG = DOMAINS["jet"].strong
WORDS = ("off", "sensitive")
SCALE = "input.scale"
MOVES = ("eta_flip", "phi_flip", "shift", "rotate")
SETS = {"moves": MOVES, "energies": tuple(name for name in STRONG if name not in MOVES)}
"""Those that move deposits, and those that change energies."""
HELD_OUT = {"test_fraction": 0.25, "seed": 1}


class Work(NamedTuple):
    """What one process does."""

    augmentation: str
    """Whose word is another; a set that is alone; `SCALE` for another scale of the energies; or
    blank."""
    word: str
    seed: int
    jets: int
    epochs: int
    folder: str
    """Where runs are kept."""

    @property
    def path(self) -> Path:
        """Folder of the run."""
        name = "-".join(filter(None, ["words", self.augmentation, self.word, str(self.seed)]))
        return Path(self.folder) / name


def carry_out(work: Work) -> dict[str, Any]:
    """AUC of the class and R² and error of the mass, by linear probes on held-out jets."""
    judged = {task: _held_out(work, task) for task in jets.TASKS}
    run = twofold.pretrain(
        "simclr",
        data=judged["y"],
        out=work.path,
        input=replace(jets.INPUT, scale=work.word) if work.augmentation == SCALE else jets.INPUT,
        prescription=_words(work),
        epochs=work.epochs,
        seed=work.seed,
        monitor_every=work.epochs,
        overwrite=True,
        **jets.SHARED,
    )
    encoder = run.encoder()
    found: dict[str, Any] = {}
    for task, probe in (("y", "linear"), ("m0", "regression")):
        figures = evaluate(
            encoder.reading(), judged[task], encoder.preprocess, probes=[probe], raw=False
        )
        found |= figures.figures[probe]
    return {name: found[name] for name in ("auc", "mae", "r2")}


def _words(work: Work) -> dict[str, str]:
    """What is prescribed otherwise than by the recipe."""
    if work.augmentation in SETS:
        return {name: "off" for name in STRONG if name not in SETS[work.augmentation]}
    return {work.augmentation: work.word} if work.augmentation in STRONG else {}


def _held_out(work: Work, task: str) -> twofold.Data:
    data = jets.jets_of(Path(work.folder), work.jets, task)
    train, held_out = split(data.train, **HELD_OUT)
    return replace(data, train=train, test=held_out)


def works(options: Any) -> list[Work]:
    """All that there is to do."""
    said = [("", ""), (SCALE, "linear"), *((name, "alone") for name in SETS)]
    said += [(name, word) for name in STRONG for word in WORDS]
    return [
        Work(name, word, seed, options.jets, options.epochs, str(options.runs))
        for seed in options.seeds
        for name, word in said
    ]


def describe(options: Any, results: runs.Results) -> str:
    """The text of docs/jets_augmentations.md."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for work in works(options):
        found.setdefault((work.augmentation, work.word), []).append(results.done[work])
    rows = []
    for (name, word), figures in found.items():
        said = f"`{name}` {word}" if name else "all of them invariant"
        if name in SETS:
            said = f"{', '.join(f'`{one}`' for one in SETS[name])} alone"
        cells = [jets.SPELLED["y"](jets.over([one["auc"] for one in figures]))]
        cells += [jets.SPELLED["m0"](jets.over([one["mae"] for one in figures]))]
        base = found["", ""]
        for metric, places in (("auc", 3), ("mae", 2)):
            pairs = zip(figures, base, strict=True)
            gaps = [{"value": one[metric]["value"] - two[metric]["value"]} for one, two in pairs]
            cells.append(_gap(gaps, places) if name and len(gaps) > 1 else "")
        rows.append([said, cells[0], cells[2], cells[1], cells[3]])
    head = ["SimCLR with", "AUC", "against all", "mass, MAE in GeV", "against all"]
    return "\n".join(
        [
            "# Which augmentations help jets",
            "",
            f"ResNet-15, {options.epochs} epochs of SimCLR on half of {options.jets:,} simulated "
            "gluon and quark jets without labels; linear probes of the frozen features on another "
            "sixth. One augmentation at a time is off, or kept (`sensitive`) instead of ignored. "
            "`--input.scale log` but for one row.",
            "",
            *runs.table(head, rows),
            "",
            f"95 % intervals: t over {len(options.seeds)} seeds; differences are of the same seed. "
            f"{results.made_by}; all figures are in `benchmarks/results/jets_augmentations.json`.",
            "",
            "Written by `benchmarks/jets_augmentations.py`.",
            "",
        ]
    )


def _gap(gaps: list[dict[str, float]], places: int) -> str:
    mean, low, high = jets.over(gaps)
    return f"{mean:+.{places}f} ({low:+.{places}f} to {high:+.{places}f})"


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("jets_augmentations")
    parser.set_defaults(epochs=4)
    parser.add_argument("--jets", type=int, default=12_000, help="jets made, a third for testing")
    parser.add_argument("--runs", type=Path, default=Path("runs/jets"), help="run folders")
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work))))
        return
    jets.make(options)
    results = runs.Results(options.results)
    results.measure(__file__, works(options), options.jobs)
    runs.write_page(describe(options, results), options.docs / "jets_augmentations.md")


if __name__ == "__main__":
    main()
