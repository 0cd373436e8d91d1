"""Draws `docs/images/METHOD.svg`: what each method does with its views, box by box.

Run it from the repository's root: `python docs/figures/methods.py`.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

OUT = Path(__file__).parents[1] / "images"

STOP = "∦"
"""In front of what no gradient passes."""

METHODS: dict[str, tuple[list[list[str]], str]] = {
    "simclr": (
        [["view 1", "encoder", "projector"], ["view 2", "encoder", "projector"]],
        "NT-Xent: pick the partner out of both views of all other items",
    ),
    "simclr_v2": (
        [
            ["view 1", "encoder", "layer 1", "layers 2, 3"],
            ["view 2", "encoder", "layer 1", "layers 2, 3"],
        ],
        "NT-Xent; layer 1 stays for fine-tuning",
    ),
    "byol": (
        [
            ["view 1", "encoder", "projector", "predictor"],
            ["view 2", "target encoder", "target projector", STOP],
        ],
        "squared distance; the target follows slowly",
    ),
    "simsiam": (
        [["view 1", "encoder", "projector", "predictor"], ["view 2", "encoder", "projector", STOP]],
        "minus cosine, in both directions",
    ),
    "barlow_twins": (
        [["view 1", "encoder", "projector"], ["view 2", "encoder", "projector"]],
        "cross-correlation of dimensions: 1 on the diagonal, 0 beside it",
    ),
    "vicreg": (
        [["view 1", "encoder", "expander"], ["view 2", "encoder", "expander"]],
        "agree; every dimension varies; no two vary together",
    ),
    "nce": (
        [["view", "encoder", "projector"], ["item", "its memory, and others drawn"]],
        "its own memory or noise? yes or no, for each",
    ),
    "info_nce": (
        [["view 1", "encoder", "projector"], ["view 2", "encoder", "projector"]],
        "pick the partner out of the other view, or out of a queue",
    ),
    "sup_con": (
        [["view 1", "encoder", "projector"], ["view 2", "encoder", "projector"], ["label"]],
        "all views of all items of the class attract",
    ),
    "supervised": (
        [["view", "encoder", "linear"], ["label"]],
        "cross-entropy, or squared error of numbers",
    ),
    "e_ssl": (
        [
            ["view 1", "encoder", "projector"],
            ["view 2", "encoder", "projector"],
            ["small turned view", "encoder", "predictor"],
        ],
        "NT-Xent, and: which quarter turn?",
    ),
    "aug_self": (
        [
            ["view 1", "encoder", "projector, predictor"],
            ["view 2", "encoder", "projector"],
            ["both features", "predictor"],
        ],
        "SimSiam, and: how do the draws of the two differ?",
    ),
    "loo_c": (
        [
            ["query", "encoder", "head 0, 1, 2"],
            ["key of its own", "encoder", "head 0, 1, 2"],
            ["key, same turn", "encoder", "head 0, 1, 2"],
            ["key, same brightness", "encoder", "head 0, 1, 2"],
        ],
        "space 0 ignores all; space i tells augmentation i",
    ),
    "mt_slvr": (
        [
            ["view", "shared network + adapters 1", "features: invariant", "projector"],
            ["view", "shared network + adapters 2", "features: sensitive", "predictor"],
        ],
        "NT-Xent on one route; which were applied? on the other",
    ),
}

PAPER, INK, MUTED, LINE, FILL = "#fafaf8", "#1c1e21", "#5c626a", "#9aa0a8", "#e8eaf6"
LETTER, ROW, PAD, GAP = 7.2, 52, 12, 26


def main() -> None:
    """Draws every method."""
    for name, (branches, loss) in METHODS.items():
        (OUT / f"{name}.svg").write_text(picture(branches, loss))


def picture(branches: list[list[str]], loss: str) -> str:
    """A row of boxes for each branch, all leading to the loss."""
    columns = max(map(len, branches))
    widths = [
        max(width(branch[i]) for branch in branches if i < len(branch)) for i in range(columns)
    ]
    starts = [PAD + sum(widths[:i]) + GAP * i for i in range(columns)]
    end = starts[-1] + widths[-1]
    lines = wrapped(loss)
    loss_width = max(map(width, lines))
    height = 2 * PAD + ROW * len(branches) - 16
    middle = height / 2
    parts = []
    for row, branch in enumerate(branches):
        y = PAD + ROW * row + 18
        for i, words in enumerate(branch):
            right = starts[i + 1] if i + 1 < len(branch) else end + GAP / 2
            parts.append(
                stopped(starts[i], y) if words == STOP else box(starts[i], y, widths[i], words)
            )
            left = starts[i] + (14 if words == STOP else widths[i])
            parts.append(f'<path d="M{left:.0f} {y}H{right:.0f}" stroke="{LINE}"/>')
        parts.append(f'<path d="M{end + GAP / 2:.0f} {y}V{middle:.0f}" stroke="{LINE}"/>')
    x = end + GAP
    parts.append(f'<path d="M{end + GAP / 2:.0f} {middle:.0f}H{x:.0f}" stroke="{LINE}"/>')
    for i, line in enumerate(lines):
        y = middle + 4 + 17 * (i - (len(lines) - 1) / 2)
        parts.append(text(x + 6, y, line, anchor="start", weight="bold"))
    total = x + loss_width + PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {height:.0f}" '
        f'width="{total:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="13" '
        f'fill="none"><rect width="100%" height="100%" rx="6" fill="{PAPER}"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def width(words: str) -> float:
    """Room for a box with these words."""
    return LETTER * len(words) + 18


def wrapped(words: str, longest: int = 30) -> list[str]:
    """Lines of a few words each."""
    lines = [""]
    for word in words.split():
        if len(lines[-1]) + len(word) > longest:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def box(x: float, y: float, wide: float, words: str) -> str:
    """A box with words."""
    plain = words.startswith(("view", "item", "label", "query", "key", "small", "both"))
    fill = "none" if plain else FILL
    rect = f'<rect x="{x:.0f}" y="{y - 15}" width="{wide:.0f}" height="30" rx="4" '
    return f'{rect}fill="{fill}" stroke="{LINE}"/>' + text(x + wide / 2, y + 4.5, words)


def stopped(x: float, y: float) -> str:
    """Two bars that no gradient passes."""
    bars = f'<path d="M{x + 4:.0f} {y - 9}v18M{x + 9:.0f} {y - 9}v18" stroke="{INK}"/>'
    line = f'<path d="M{x:.0f} {y}h14" stroke="{LINE}"/>'
    return line + bars + text(x + 18, y - 8, "no gradient", anchor="start", colour=MUTED)


def text(
    x: float, y: float, words: str, *, anchor: str = "middle", weight: str = "", colour: str = INK
) -> str:
    """Words at a place."""
    bold = ' font-weight="600"' if weight else ""
    return (
        f'<text x="{x:.0f}" y="{y:.1f}" text-anchor="{anchor}"{bold} fill="{colour}">'
        f"{escape(words)}</text>"
    )


if __name__ == "__main__":
    main()
