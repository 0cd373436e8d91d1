"""`twofold evaluate`: judge a frozen encoder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from twofold.arguments import changed, check_source, positional
from twofold.config import DataConfig, load_config
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, EVALUATION, check_run


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Probe the frozen encoder of a run."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)


def main(args: list[str]) -> int:
    """Probes the frozen encoder and prints the figures."""
    given, args = positional(args, "RUN", "twofold evaluate RUN --data D")
    flags = parse(Evaluate, args, prog="twofold evaluate RUN")
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    settings = flags.data if flags.data.data else changed(whole.data, flags.data)
    check_source(settings)

    from twofold.display import print_figures
    from twofold.launch import open_config
    from twofold.run import Run

    print_figures(Run(folder).evaluate(open_config(settings, whole.settings.seed)))
    print(folder / EVALUATION)
    return 0
