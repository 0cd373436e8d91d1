"""Writes what other benchmarks of a run's parts measured into docs/how_to/speed.md.

.venv/bin/python benchmarks/speed.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from runs import ROOT, table

PAGE = ROOT / "docs" / "how_to" / "speed.md"


def main() -> None:
    """Puts each table between its marks."""
    page = PAGE.read_text()
    for name, write in {
        "ways": ways,
        "threads": threads,
        "allocation": allocation,
        "step": step,
        "decode": decode,
    }.items():
        found = json.loads((Path(__file__).parent / "results" / f"{name}.json").read_text())
        begun, ended = f"<!-- measured {name} -->", f"<!-- /measured {name} -->"
        before, rest = page.split(begun)
        lines = [begun, "", *write(found), "", ended]
        page = before + "\n".join(lines) + rest.split(ended)[1]
    PAGE.write_text(page)


def ways(found: dict[str, Any]) -> list[str]:
    """Images a second of each precision and memory format."""
    rows = [
        [
            _net(row),
            row["precision"],
            row["memory_format"].replace("_", " "),
            f"{row['images_per_s']:,}",
            f"{row['gain']:.2f}",
        ]
        for row in found["rows"]
    ]
    heads = ("network", "precision", "memory format", "images a CPU second", "times the default")
    return [
        *table(heads, rows),
        "",
        f"`python benchmarks/ways.py`: Fashion-MNIST, one thread, torch {found['torch']}.",
    ]


def threads(found: dict[str, Any]) -> list[str]:
    """Seconds of a training with each division of the cores."""
    rows = [
        [
            row["way"],
            f"{row['threads']} + {row['loader_threads']}",
            f"{row['alone']:.1f}",
            f"{row['two_at_once']:.1f}",
        ]
        for row in found["rows"]
    ]
    heads = ("division", "computing + loader", "seconds alone", "two runs at once")
    return [
        *table(heads, rows),
        "",
        f"`python benchmarks/threads.py`: wall seconds of two epochs of `resnet-small`, 4,096 "
        f"images of 32x32, {found['cores']} cores, medians of {found['rounds']} rounds in turn, "
        f"torch {found['torch']}.",
    ]


def allocation(found: dict[str, Any]) -> list[str]:
    """CPU seconds, pages and peak memory of runs that keep memory and of others."""
    rows = [
        [
            row["case"],
            *(f"{row[way][0]:.1f}" for way in ("kept", "left")),
            *(f"{row[way][1]:,.0f}" for way in ("kept", "left")),
            *(f"{row[way][2]:,.0f}" for way in ("kept", "left")),
            f"{row['gain']:.2f}",
        ]
        for row in found["rows"]
    ]
    heads = (
        "images",
        "CPU seconds",
        "left alone",
        "new pages",
        "left alone",
        "peak, MiB",
        "left alone",
        "times as fast",
    )
    return [
        *table(heads, rows),
        "",
        f"`python benchmarks/allocation.py`: one epoch of `resnet-small`, start-up included, one "
        f"thread, medians of {found['rounds']} rounds in turn, torch {found['torch']}.",
    ]


def step(found: dict[str, Any]) -> list[str]:
    """Images a second of a run, on a batch that never changes, and bare."""
    rows = [
        [
            _net(row),
            *(f"{row[way]:,}" for way in ("end_to_end", "static", "bare")),
            f"{row['ratio']:.2f}",
            f"{row['ratio_to_bare']:.2f}",
        ]
        for row in found["rows"]
    ]
    heads = ("network", "a run", "on one batch", "bare", "run / one batch", "run / bare")
    precision = found["hardware"]["precision"]
    return [
        *table(heads, rows),
        "",
        "Images a CPU second, of a run with all it does at a step; of the same steps on a batch "
        "that never changes; and of the encoder, the loss, its gradient and the update alone. "
        f"`python benchmarks/step.py`: {precision}, one thread, torch {found['torch']}.",
    ]


def decode(found: dict[str, Any]) -> list[str]:
    """Images a second of each decoder."""
    rows = [
        [
            "x".join(map(str, row["photograph"])),
            f"{row['size']} px",
            row["decoder"],
            f"{row['images_per_s']:,}",
            f"{row['distance']:.2f}",
        ]
        for row in found["rows"]
    ]
    heads = ("JPEG", "becomes", "decoder", "images a CPU second", "distance")
    return [
        *table(heads, rows),
        "",
        f"`python benchmarks/decode.py`: one thread, Pillow {found['pillow']}; `pillow` and "
        "`torchvision` decode all pixels, `simplejpeg` scales while it decodes, at times further.",
    ]


def _net(row: dict[str, Any]) -> str:
    width = "" if row["width"] == 1 else f" width {row['width']:g}"
    return f"{row['encoder']}{width}, batch {row['batch_size']}"


if __name__ == "__main__":
    main()
