"""The main job on sound in two minutes: words are said, learned from without labels, and told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("espeakng_loader")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "audio.py"


@pytest.mark.slow
def test_the_main_job_in_short(tmp_path):
    few = ["--sets", "speech", "--n", "600", "--epochs", "2", "--seeds", "0", "--jobs", "2"]
    methods = ["--methods", "contrast", "mt_slvr", "kept"]
    places = [f"--{name}={tmp_path / name}" for name in ("sounds", "docs")]
    results = tmp_path / "audio.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, *few, *methods, *places, f"--results={results}"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TWOFOLD_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    found = {run["work"][0]: run["found"] for run in json.loads(results.read_text())["runs"]}
    spectra = found["contrast"]["baselines"]["log-mel"]
    assert spectra["word"]["linear"]["value"] > 0.3  # 35 words; 0.88 with four times as many
    for method, routes in (("contrast", []), ("mt_slvr", ["invariant", "sensitive"])):
        readings = found[method]["readings"]
        assert list(readings) == ["all", *routes]
        for told in readings.values():
            assert told["word"]["linear"]["ci95"][0] > 2 / 35
            assert told["word"]["fewshot"]["ci95"][0] > told["word"]["fewshot"]["chance"]
    assert set(found["kept"]["kept"]) == {"pitch_shift", "time_stretch"}
    page = (tmp_path / "docs" / "mt_slvr_audio.md").read_text()
    assert "| mt_slvr | sensitive |" in page
    assert (tmp_path / "docs" / "mt_slvr_audio.svg").stat().st_size > 1000
