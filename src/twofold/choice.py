"""Which epoch's encoder a run ends with: the last, or the best by a measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from torch import nn

from twofold.checkpoint import load_tensors, save_tensors
from twofold.folder import CANDIDATES, read_metrics

MEASURES: dict[str, Callable[[Mapping[str, Any]], float | None]] = {
    "rankme": lambda record: record["health"]["rankme"],
    "knn": lambda record: record["knn"]["value"] if record["knn"] else None,
}
"""What an epoch is measured by, larger is better: RankMe without labels (Garrido et al., 2022,
arXiv:2210.02885), the accuracy of the online kNN on held-out training items with them."""


class Choice:
    """Remembers the epoch that each measure likes best, and keeps the encoder that may be chosen.

    The best so far is read from the epochs that `metrics.jsonl` holds, so a run that was stopped
    chooses as one that never was.

    Args:
        folder: Run folder; gets `candidates/` unless the rule is `last`.
        rule: What is chosen by.
    """

    def __init__(self, folder: Path, rule: Literal["last", "rankme", "knn"]) -> None:
        self.path, self.rule = folder / CANDIDATES / f"{rule}.safetensors", rule
        self.best: dict[str, dict[str, Any]] = {}
        """By measure, the best `epoch` and its `value`."""
        for record in read_metrics(folder):
            if record["kind"] == "epoch":
                self._better(record)

    def consider(self, record: Mapping[str, Any], encoder: nn.Module) -> None:
        """Keeps the encoder if by the rule `record` is the best epoch so far."""
        if self.rule in self._better(record):
            save_tensors(self.path, encoder.state_dict(), self.best[self.rule])

    def conclude(self, encoder: nn.Module, last: int) -> dict[str, Any]:
        """Gives the encoder the weights that the rule chooses and returns what was chosen.

        The result holds the `rule`, the `epoch` it chose, and under `best` what each measure would
        have chosen. A rule that measured no epoch leaves the last.
        """
        epoch = last
        if self.rule in self.best:
            tensors, facts = load_tensors(self.path)
            encoder.load_state_dict(tensors)
            epoch = facts["epoch"]
        return {"rule": self.rule, "epoch": epoch, "best": self.best}

    def _better(self, record: Mapping[str, Any]) -> list[str]:
        """The measures by which an epoch is the best so far; it is remembered as such."""
        better = []
        for name, measure in MEASURES.items():
            value, best = measure(record), self.best.get(name)
            if value is not None and (best is None or value > best["value"]):
                self.best[name] = {"epoch": record["epoch"], "value": value}
                better.append(name)
        return better
