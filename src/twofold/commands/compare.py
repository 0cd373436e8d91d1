"""`twofold compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path

from twofold.arguments import has, output, positional, take
from twofold.errors import TwofoldError


def main(args: list[str]) -> int:
    """Prints runs side by side and, with --out, writes them as a page."""
    usage, out = "twofold compare RUN RUN ... [--out FILE.html]", None
    if {"-h", "--help"} & set(args):
        print(f"{usage}\n\nPrints runs side by side; --out writes them as a page, too.")
        return 0
    if has(args, "--out"):
        given, args = take(args, "--out")
        out = output(Path(given), ".html")
    positional(args, "RUN", usage)
    if flag := next((arg for arg in args if arg.startswith("-")), None):
        raise TwofoldError(f"unknown flag {flag}; write {usage}")

    from twofold.comparison import compare as side_by_side

    comparison = side_by_side(args)
    print(comparison)
    if out is not None:
        from twofold.report import write_comparison

        print(write_comparison(comparison, out))
    return 0
