"""`twofold report`: one page that shows a run."""

from __future__ import annotations

from pathlib import Path

from twofold.arguments import positional
from twofold.errors import TwofoldError
from twofold.folder import check_run


def main(args: list[str]) -> int:
    """Writes the page of a run."""
    given, args = positional(args, "RUN", "twofold report RUN")
    if args:
        raise TwofoldError(f"twofold report takes a run folder alone; found {args[0]}")
    folder = check_run(Path(given))

    from twofold.run import Run

    print(Run(folder).report())
    return 0
