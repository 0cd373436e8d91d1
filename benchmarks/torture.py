"""What twofold promises, tried as hard as it can be in an hour or three.

    python benchmarks/torture.py [--deaths 50] [--fuzz 60] [--minutes 120] [--results FILE]
                                 [--docs FOLDER]

A run of several hundred steps and its evaluation are killed that often, at random moments, and
compared with one that never was; then the tests of each promise are run and counted; where atheris
is installed, each parser is fuzzed for so many seconds (benchmarks/fuzz.py); then training and
evaluation go on for so many minutes (benchmarks/soak.py; 0 leaves its last figure). The figures go
to benchmarks/results/torture.json, the table to docs/trust.md between the lines that mark it. It
fails if a promise was not kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import runs
from twofold.folder import write_atomically

# Shared with the short form among the tests.
sys.path.insert(0, str(runs.ROOT / "tests" / "trust"))
sys.path.insert(0, str(runs.ROOT / "tests" / "trust" / "corpus"))
import fuzzed
import violence

_BEGIN, _END = "<!-- figures -->", "<!-- end -->"


class Promise(NamedTuple):
    """What is promised, and the tests that show it."""

    words: str
    tests: tuple[str, ...]
    """Files or folders below tests/."""


PROMISES = (
    Promise(
        "SIGTERM, Ctrl-C, a full disk, a damaged checkpoint, a second process, a read-only folder: "
        "nothing saved is lost, and the user is told",
        ("trust/test_violence.py", "test_checkpoint.py"),
    ),
    Promise(
        "A loss, gradient or weight that is no number is caught at its step, with objective and "
        "items, and never saved",
        ("trust/test_divergence.py",),
    ),
    Promise(
        "Collapse of each kind is named, and what works is never called collapsed",
        ("trust/test_collapse.py", "evaluate/test_health.py"),
    ),
    Promise(
        "Evaluation leaves the encoder as it is, chooses by no test label, tells of test items "
        "that were trained on, and figures carry the hash of their protocol",
        (
            "evaluate/test_features.py",
            "evaluate/test_protocol.py",
            "evaluate/test_provenance.py",
        ),
    ),
    Promise(
        "The same seed gives the same bits, for every recipe and any number of loader threads",
        ("trust/test_seeds.py", "test_train.py", "recipes/test_contract.py"),
    ),
    Promise(
        "A malformed input is refused in one line, and nothing in it runs",
        ("trust/corpus",),
    ),
)


def kill(deaths: int, folder: Path) -> dict[str, Any]:
    """Kills a run so often, and compares it with one that was left alone."""
    began = time.monotonic()
    violence.make_images(folder / "images")
    whole = violence.Job(folder / "images", folder / "whole", epochs=6 + 2 * deaths)
    killed = dataclasses.replace(whole, folder=folder / "killed")
    violence.finish(whole)
    died = violence.kill(killed, deaths)
    steps = violence.steps(killed)
    return {
        "deaths": died.total(),
        "died_in": dict(died.most_common()),
        "steps": len(steps),
        "each_step_once": steps == list(range(1, len(steps) + 1)),
        "files_that_differ": violence.differences(whole, killed),
        "seconds": round(time.monotonic() - began),
    }


def test(paths: tuple[str, ...]) -> dict[str, Any]:
    """Runs tests and counts them."""
    began = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".xml") as file:
        there = [f"tests/{path}" for path in paths]
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={file.name}", *there]
        subprocess.run(command, cwd=runs.ROOT, check=False)
        suite = ElementTree.parse(file.name).getroot()[0]
    count = Counter({name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors")})
    skipped = int(suite.get("skipped", 0))
    return {
        "passed": count["tests"] - count["failures"] - count["errors"] - skipped,
        "failed": count["failures"] + count["errors"],
        "skipped": skipped,
        "seconds": round(time.monotonic() - began),
    }


def fuzz(seconds: int) -> dict[str, Any] | None:
    """Fuzzes each parser for so many seconds; None where that cannot be done."""
    if not seconds or importlib.util.find_spec("atheris") is None:
        return None
    tried, broken = Counter[str](), []
    for name in fuzzed.TARGETS:
        script = [sys.executable, str(runs.ROOT / "benchmarks" / "fuzz.py"), name]
        how = f"-max_total_time={seconds}", "-timeout=60", "-rss_limit_mb=4096"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [*script, *how], cwd=folder, check=False, capture_output=True, text=True
            )
        last = re.findall(r"^#(\d+)", done.stderr, re.MULTILINE)
        tried[name] = int(last[-1]) if last else 0
        if done.returncode:
            broken.append(name)
            print(done.stderr[-4000:], file=sys.stderr, flush=True)  # the input, too
    return {"seconds": seconds, "inputs": dict(tried), "broken": broken}


def table(found: Mapping[str, Any], soaked: Mapping[str, Any] | None) -> list[str]:
    """The lines of promise, test and last figure."""
    kills = found["kills"]
    died = ", ".join(f"{count} in {place}" for place, count in kills["died_in"].items())
    differ = len(kills["files_that_differ"])
    rows = [
        (
            "A run that is killed ends with the bits of one that was not: weights, optimiser, "
            "balancer, moving average, metrics, evaluation; `metrics.jsonl` has each step once",
            "`make torture`, `tests/trust/violence.py`",
            f"{kills['deaths']} kills ({died}); {differ} files differ",
        )
    ]
    for promise in PROMISES:
        counted = found["tests"][promise.words]
        failed = f", {counted['failed']} failed" if counted["failed"] else ""
        tests = ", ".join(f"`tests/{path}`" for path in promise.tests)
        rows.append((promise.words, tests, f"{counted['passed']:,} passed{failed}"))
    if fuzzing := found["fuzzed"]:
        broken = len(fuzzing["broken"])
        rows.append(
            (
                "No bytes break a parser, whatever code they reach",
                "`python benchmarks/fuzz.py`",
                f"{sum(fuzzing['inputs'].values()):,} inputs to {len(fuzzing['inputs'])} parsers, "
                f"{fuzzing['seconds']} s each; {broken} broken",
            )
        )
    if soaked is not None:
        rows.append(
            (
                "Memory and open files do not grow",
                "`python benchmarks/soak.py`",
                f"{100 * soaked['growth']:+.1f} % memory over {soaked['minutes']:.0f} minutes, "
                f"{len(soaked['rounds'])} runs, {soaked['steps']:,} steps",
            )
        )
    return runs.table(("promise", "test", "last figure"), rows)


def main() -> None:
    """Tries everything, writes it down, and fails if something was not as promised."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--deaths", type=int, default=50, help="how often a run is killed")
    parser.add_argument("--fuzz", type=int, default=60, help="seconds for each parser; 0 for none")
    parser.add_argument("--minutes", type=float, default=120.0, help="of the soak; 0 for none")
    kept = runs.ROOT / "benchmarks" / "results"
    parser.add_argument("--results", type=Path, default=kept / "torture.json")
    parser.add_argument("--docs", type=Path, default=runs.ROOT / "docs")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        kills = kill(options.deaths, Path(folder))
    print(kills, flush=True)
    found = {
        "kills": kills,
        "tests": {one.words: test(one.tests) for one in PROMISES},
        "fuzzed": fuzz(options.fuzz),
    }
    write_atomically(options.results, (json.dumps(found, indent=1) + "\n").encode())
    soaked, still = options.results.with_name("soak.json"), 0
    if options.minutes:
        script = [sys.executable, str(runs.ROOT / "benchmarks" / "soak.py")]
        how = f"--minutes={options.minutes}", f"--results={soaked}", f"--docs={options.docs}"
        still = subprocess.run([*script, *how], check=False).returncode

    page = options.docs / "trust.md"
    before, rest = page.read_text().split(_BEGIN)
    lines = table(found, json.loads(soaked.read_text()) if soaked.exists() else None)
    text = "\n".join([_BEGIN, "", *lines, "", _END])
    runs.write_page(before + text + rest.split(_END)[1], page)
    failed = any(counted["failed"] for counted in found["tests"].values())
    failed |= bool(found["fuzzed"] and found["fuzzed"]["broken"])
    if failed or still or kills["files_that_differ"] or not kills["each_step_once"]:
        sys.exit("a promise was not kept")


if __name__ == "__main__":
    main()
