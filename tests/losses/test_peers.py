"""Equality with other libraries, where both they and twofold are installed."""

import runpy
from pathlib import Path

import pytest

pytest.importorskip("lightly", reason="peers are installed by `make bench`, apart from twofold")
pytest.importorskip("pytorch_metric_learning")

BENCHMARK = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "losses.py"))


@pytest.mark.parametrize("case", BENCHMARK["CASES"])
def test_equal_in_value_and_gradient(case):
    own, peer = (
        BENCHMARK["value_and_gradients"](BENCHMARK[side]()[case])
        for side in ("own_losses", "peer_losses")
    )
    row = BENCHMARK["compare"](own, peer)
    assert row["largest_gradient"] > 0
    assert row["value_difference"] <= BENCHMARK["TOLERANCE"]
    assert row["gradient_difference"] <= BENCHMARK["TOLERANCE"]
