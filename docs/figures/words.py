"""Draws `docs/images/words.svg`: a pair of views of a few items under each of the five words.

Run it from the repository's root: `python docs/figures/words.py`.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from twofold.augment import IMAGE, Views
from twofold.augment.table import WORDS
from twofold.domains.image import open_data

OUT = Path(__file__).parents[1] / "images" / "words.svg"
ITEMS = (0, 1, 3)
MEANING = {
    "invariant": "the pair differs",
    "blind": "the pair differs",
    "sensitive": "the pair shares it",
    "both": "the pair differs",
    "off": "the pair has none",
}
PAPER, INK = "#fafaf8", "#1c1e21"


def main() -> None:
    """Draws the figure."""
    source = open_data("fashion-mnist").train
    items = torch.from_numpy(source.items[list(ITEMS)].astype(np.float32) / 255)
    plt.rcParams |= {"svg.hashsalt": "twofold", "text.color": INK, "font.size": 9}
    figure, axes = plt.subplots(len(ITEMS), 1 + 2 * len(WORDS), figsize=(9.6, 3.0), facecolor=PAPER)
    show(axes[:, 0], items, "item", "")
    for column, word in enumerate(WORDS):
        views = Views(IMAGE, {"rotate": word}, channels=1, size=source.height, seed=6)
        (first, second), _ = views(items, np.arange(len(ITEMS)), epoch=0)
        show(axes[:, 1 + 2 * column], first, word, MEANING[word])
        show(axes[:, 2 + 2 * column], second, "", "")
    spread(axes)
    figure.savefig(OUT, facecolor=PAPER, metadata={"Date": None})


def show(column: np.ndarray, images: torch.Tensor, title: str, meaning: str) -> None:
    """One view of every item, below each other."""
    for axis, image in zip(column, images, strict=True):
        axis.imshow(image[0], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        axis.set_xticks([])
        axis.set_yticks([])
        for side in axis.spines.values():
            side.set_color("#cecfd2")
    column[0].annotate(title, (0, 1.28), xycoords="axes fraction", fontweight="bold")
    column[0].annotate(meaning, (0, 1.08), xycoords="axes fraction", fontsize=7.5)


def spread(axes: np.ndarray) -> None:
    """Pairs close together, words apart."""
    side, gap, space = 0.0805, 0.004, 0.0145
    left = 0.012
    for column in range(axes.shape[1]):
        left += 0 if column == 0 else side + (gap if column % 2 == 0 else space)
        for row in range(axes.shape[0]):
            axes[row, column].set_position((left, 0.57 - 0.27 * row, side, 0.25))


if __name__ == "__main__":
    main()
