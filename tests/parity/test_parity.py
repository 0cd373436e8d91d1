"""Every recipe is the same on one process, on two, and in parts."""

import json

import pytest
from parity_cases import few
from parity_worker import EXACT, start

WAYS = ("processes", "parts", "both")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What two processes found, by case; started once for all."""
    out = tmp_path_factory.mktemp("parity") / "found.jsonl"
    start(out)
    lines = map(json.loads, out.read_text().splitlines())
    return {line["case"]: line for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("case", [*few()], ids=lambda case: case.name)
def test_losses_gradients_and_state_are_those_of_one_batch(found, case):
    told = found[case.name]
    assert "error" not in told
    assert told["alike"]  # both processes have the same bits
    rounding = max(told.get("rounding", {"gradients": 0.0}).values())
    for way in WAYS:
        if told.get(way) is not None:
            for what, distance in told[way].items():
                assert distance <= max(EXACT[case.precision], 2 * rounding), (way, what)


@pytest.mark.slow
def test_few_cases_leave_no_recipe_out(found):
    exact = [told for told in found.values() if told.get("parts") is not None]
    assert len(exact) > 25  # where views are read, or a BatchNorm is untold, there are no parts
    assert {told["balance"] for told in found.values()} > {"gradnorm", "upgrad"}
