"""One condition of the study in a minute: where times are close, and what helps there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "conserved_pictures.py"


@pytest.mark.slow
def test_times_that_are_close_mislead_and_pairs_far_apart_do_not(tmp_path):
    results = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--seeds=0", "--only=within-0.5", f"--results={results}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {run["work"][1]: run["found"] for run in json.loads(results.read_text())["runs"]}
    order = {name: one["spearman"]["all"][0] for name, one in found.items() if "spearman" in one}
    ceiling = found["ceiling"]["ceiling"]["all"]
    assert 0.993 < ceiling < 0.995
    assert order["conserved_unfolded"] < 0.5  # it has found the phase
    assert order["conserved_unfolded+apart"] > 0.95
    assert order["conserved_2d+apart"] > 0.95
    assert order["conserved_supervised"] > 0.98
    assert max(order.values()) < ceiling + 0.001
