"""Which epoch's weights a run ends with: the last, or the best by a measure; and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from twofold.checkpoint import load_tensors, save_tensors
from twofold.distributed import of_first, rank
from twofold.folder import CANDIDATES, read_metrics

Measure = Callable[[Mapping[str, Any]], float | None]
"""From the record of an epoch to what it is measured by, larger is better; None if it is not."""

MEASURES: dict[str, Measure] = {
    "rankme": lambda record: record["health"]["rankme"],
    "knn": lambda record: record["knn"]["value"] if record["knn"] else None,
}
"""Of pretraining: RankMe without labels (Garrido et al., 2022, arXiv:2210.02885), the accuracy of
the online kNN on held-out training items with them."""


class Choice:
    """Remembers the epoch that each measure likes best, and keeps the weights that may be chosen.

    Args:
        folder: Run folder; gets `candidates/` unless the rule is `last`.
        rule: What is chosen by: the name of a measure, or `last`.
        measures: What an epoch is measured by.
        patience: Epochs without a better one, by the rule, after which the run may stop; 0 for
            never.
    """

    def __init__(
        self,
        folder: Path,
        rule: str,
        *,
        measures: Mapping[str, Measure] = MEASURES,
        patience: int = 0,
    ) -> None:
        self.folder, self.rule, self.measures, self.patience = folder, rule, measures, patience
        self.path = folder / CANDIDATES / f"{rule}.safetensors"
        self.best: dict[str, dict[str, Any]] = {}
        """By measure, the best `epoch` and its `value`."""
        self.last = 0
        """The last epoch that was measured."""

    def recall(self) -> None:
        """Reads the epochs that `metrics.jsonl` holds.

        So a run that was stopped, or went back, chooses as one that never was.
        """
        self.best, self.last = {}, 0
        for record in of_first(self._measured):
            self._better(record)

    @property
    def exhausted(self) -> bool:
        """Whether the best epoch lies so far back that no better one is expected."""
        best = self.best.get(self.rule)
        return bool(self.patience and best and self.last - best["epoch"] >= self.patience)

    def consider(self, record: Mapping[str, Any], module: nn.Module) -> None:
        """Keeps the weights of `module` if by the rule `record` is the best epoch so far."""
        if self.rule in self._better(record) and rank() == 0:
            save_tensors(self.path, module.state_dict(), self.best[self.rule])

    def conclude(self, module: nn.Module, last: int) -> dict[str, Any]:
        """Gives `module` the weights that the rule chooses and returns what was chosen.

        The result holds the `rule`, the `epoch` it chose, and under `best` what each measure would
        have chosen. A rule that measured no epoch leaves the last.
        """
        epoch = last
        if self.rule in self.best:
            tensors, facts = of_first(lambda: load_tensors(self.path))
            module.load_state_dict(tensors)
            epoch = facts["epoch"]
        return {"rule": self.rule, "epoch": epoch, "best": self.best}

    def _measured(self) -> list[dict[str, Any]]:
        """The records of epochs that were written down."""
        return [record for record in read_metrics(self.folder) if record["kind"] == "epoch"]

    def _better(self, record: Mapping[str, Any]) -> list[str]:
        """The measures by which an epoch is the best so far; it is remembered as such."""
        self.last, better = record["epoch"], []
        for name, measure in self.measures.items():
            value, best = measure(record), self.best.get(name)
            if value is not None and (best is None or value > best["value"]):
                self.best[name] = {"epoch": record["epoch"], "value": value}
                better.append(name)
        return better
