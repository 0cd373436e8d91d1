"""`twofold predict`: the classes or numbers of any items, by a fine-tuned run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from twofold.arguments import check_source, output, positional
from twofold.config import DataConfig, heard, load_config
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, SKIPPED, check_run, list_skipped


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Write what a fine-tuned run makes of any items."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """Table to write, .csv: id, prediction, and the probability of a class."""
    part: Literal["all", "train", "test"] = "all"
    """Which part of the data."""


def main(args: list[str]) -> int:
    """Writes the predictions for every item."""
    given, args = positional(args, "RUN", "twofold predict RUN --data D --out FILE.csv")
    flags = parse(Predict, args, prog="twofold predict RUN")
    folder = check_run(Path(given))
    check_source(flags.data)
    out = output(flags.out, ".csv")
    whole = load_config(folder / CONFIG)
    settings = heard(flags.data, whole.found.get("preprocess", {}))

    from twofold.display import Console
    from twofold.hardware import detect
    from twofold.launch import open_config
    from twofold.tuned import load_tuned, write_predictions

    data = open_config(settings, whole.settings.seed, whole.recipe.domain)
    Console().notes(list_skipped(data.skipped, out.with_suffix(f".{SKIPPED}")))
    sources = {"train": [data.train], "test": [data.test], "all": [data.train, data.test]}
    device = detect(device=whole.settings.device).device
    count = write_predictions(load_tuned(folder), sources[flags.part], out, device=device)
    print(f"{out}: {count} predictions")
    return 0
