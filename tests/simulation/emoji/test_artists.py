"""The main job on emoji in two minutes: toy artists, learned, judged, written up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("resvg_py")

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "emoji.py"
CONCEPTS = 240
PALETTES = {  # of each artist: paint, line and its width; nobody paints as another does
    "twemoji": ("hsl({}, 90%, 45%)", "none", 0),
    "noto": ("hsl({}, 60%, 80%)", "hsl({}, 60%, 30%)", 2),
    "openmoji": ("white", "black", 3),
    "fluent-emoji-flat": ("#333", "hsl({}, 90%, 60%)", 5),
}


def shape(concept):
    """Two polygons that are the concept's own: where their corners lie, and their hue."""
    rng = np.random.default_rng(concept)
    polygons = []
    for corners in rng.integers(3, 7, 2):
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii, middle = rng.uniform(8, 22, corners), rng.uniform(24, 40, 2)
        points = middle + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        polygons.append((points, rng.integers(0, 360)))
    return polygons


def drawn(concept, artist):
    """The concept as an artist draws it: in own colours, with an unsteady hand, at any place."""
    rng = np.random.default_rng((concept, sorted(PALETTES).index(artist)))
    paint, line, width = PALETTES[artist]
    place, size = rng.uniform(-5, 5, 2), rng.uniform(0.8, 1.1)
    parts = []
    for points, hue in shape(concept):
        moved = 32 + size * (points - 32) + place + rng.normal(0, 1.2, points.shape)
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in moved)
        look = f'fill="{paint.format(hue)}" stroke="{line.format(hue)}" stroke-width="{width}"'
        parts.append(f'<polygon points="{corners}" {look}/>')
    return {"body": "".join(parts), "width": 64, "height": 64}


@pytest.mark.slow
def test_artists_of_a_concept_teach_more_of_it_than_augmentations(tmp_path, pack_set):
    names = [f"shape-{concept:03d}" for concept in range(CONCEPTS)]
    categories = {name: names[start::2] for start, name in enumerate(("Even", "Odd"))}
    for artist in PALETTES:
        icons = {name: drawn(concept, artist) for concept, name in enumerate(names)}
        pack_set(tmp_path / "packages", artist, icons, categories=categories)

    few = ["--epochs", "60", "--batch", "32", "--seeds", "0", "--jobs", "2"]
    places = [f"--{name}={tmp_path / name}" for name in ("packages", "runs", "docs")]
    results = tmp_path / "emoji.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, *few, *places, f"--results={results}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    found = {
        tuple(run["work"][:2]): run["found"] for run in json.loads(results.read_text())["runs"]
    }
    across = {arm: one["plain"]["all pairs"] for (arm, left), one in found.items() if not left}
    noise = 2 * (2 * 0.25 / 720) ** 0.5  # of the difference of two shares of 60 x 12 pairs
    assert across["both"] > across["augmentations"] + noise
    assert across["both"] > 0.1  # 1/60 by chance
    assert found["both", "noto"]["alone/noto"]["pairs"] > 0.1
    assert found["kept", ""]["artist"]["value"] > 0.5  # 1/4 by chance
    assert found["both", ""]["erased"]["artist"]["value"] < 0.4
    page = (tmp_path / "docs" / "emoji.md").read_text()
    assert "960 drawings of 240 concepts in 2 categories by 4 artists" in page
    assert (tmp_path / "docs" / "emoji.svg").stat().st_size > 1000
