"""The main job on jets in two minutes: made, learned without labels, tuned, judged, written up."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pythia8mc")
pytest.importorskip("fastjet")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "jets.py"


@pytest.mark.slow
def test_the_main_job_in_short(tmp_path):
    few = ["--jets", "600", "--epochs", "2", "--fractions", "1", "--seeds", "0", "--jobs", "2"]
    places = [f"--{name}={tmp_path / name}" for name in ("runs", "docs")]
    results = tmp_path / "jets.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, *few, *places, f"--results={results}"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    found = {
        tuple(run["work"][:3]): run["found"] for run in json.loads(results.read_text())["runs"]
    }
    cuts = found["cuts", "", "y"]
    assert 0.7 < cuts["multiplicity"]["value"] < 0.9  # 0.80 on many jets
    for begun in ("scratch", "simclr", "barlow_twins"):
        assert found["finetune", begun, "y"]["auc"]["value"] > 0.7
        mass = found["finetune", begun, "m0"]["mae"]
        assert mass["unit"] == "GeV"
        assert mass["value"] < found["cuts", "", "m0"]["constant"]["value"]
    page = (tmp_path / "docs" / "jets_benchmark.md").read_text()
    assert "| Barlow Twins and fine-tuned |" in page
    assert (tmp_path / "docs" / "jets.svg").stat().st_size > 1000
