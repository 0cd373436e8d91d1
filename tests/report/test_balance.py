import json
import re

import numpy as np
import pytest

from twofold.report import write
from twofold.report.balance import curves
from twofold.report.run_folder import RunFolder

WEIGHTS = {"contrast": 1.0, "predict/rotate": 0.4, "predict/brightness": 0.3}
PAIRS = {
    "contrast|predict/rotate": -0.25,
    "contrast|predict/brightness": 0.125,
    "predict/rotate|predict/brightness": 0.05,
}


def step(number, **balance):
    return {"kind": "step", "step": number, "loss": 1.0, "balance": balance}


def run_with(*steps):
    return RunFolder(".", steps=list(steps))


def whole(number):
    return step(number, weights=WEIGHTS, gradient_norms=WEIGHTS, gradient_cosines=PAIRS)


def test_weights_norms_and_cosines_are_drawn_and_named():
    found = curves(run_with(whole(1), step(2, weights=WEIGHTS), whole(3)))
    assert len(found.curves) == 2
    for chart in found.curves:
        named = re.findall(r"<text[^>]*>([^<]+)</text>", chart.svg)
        assert set(WEIGHTS) <= set(named)
        assert chart.caption.endswith(
            "contrast 1.00, predict/rotate 0.400, predict/brightness 0.300."
        )
    assert len(found.cosines) == len(PAIRS)
    for chart, pair in zip(found.cosines, PAIRS, strict=True):
        named = re.findall(r"<text[^>]*>([^<]+)</text>", chart)
        assert pair.replace("|", " · ") in named
        assert chart.count("stroke-dasharray") == 1  # the line of 0
    assert "contrast · predict/rotate, −0.25 on average" in found.cosine_caption


def test_cosines_share_a_scale_that_holds_them_all():
    scales = [
        re.findall(r"<text[^>]*>([−\d.]+)</text>", chart)
        for chart in curves(run_with(whole(1), whole(3))).cosines
    ]
    assert all({"−0.2", "0.0", "0.2"} <= set(scale) for scale in scales)


def test_what_was_not_recorded_is_skipped():
    found = curves(run_with(step(1, weights=WEIGHTS), step(2, weights=WEIGHTS)))
    assert len(found.curves) == 1
    assert found.cosines == []
    assert curves(run_with(step(1))) is None
    assert curves(run_with({"kind": "step", "step": 1, "loss": 1.0})) is None


def test_a_single_loss_needs_no_balance():
    assert curves(run_with(step(1, weights={"contrast": 1.0}))) is None


@pytest.mark.parametrize("rubbish", [None, 3, "?", [], {"contrast": "?"}, {"contrast": None}])
def test_damaged_records_are_skipped(rubbish):
    broken = {"kind": "step", "step": 2, "loss": 1.0, "balance": rubbish}
    within = step(3, weights=rubbish, gradient_norms=rubbish, gradient_cosines=rubbish)
    found = curves(run_with(whole(1), broken, within, whole(4)))
    expected = curves(run_with(whole(1), whole(4)))
    assert [chart.svg for chart in found.curves] == [chart.svg for chart in expected.curves]
    assert found.cosines == expected.cosines


def test_gradients_that_are_no_number_leave_a_gap():
    nowhere = dict.fromkeys(WEIGHTS, float("nan"))
    found = curves(run_with(whole(1), step(2, gradient_norms=nowhere), whole(3)))
    assert not any("nan" in chart.svg.lower() for chart in found.curves)


def test_long_names_stay_inside_their_chart():
    names = {f"predict/{'x' * length}": 1.0 for length in (6, 12, 40)}
    [chart] = curves(run_with(step(1, weights=names), step(2, weights=names))).curves
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', chart.svg)[1])
    for x, name in re.findall(r'<text[^>]* x="([\d.]+)"[^>]*>(predi[^<]+)</text>', chart.svg):
        assert float(x) + 7 * len(name) <= width


def test_the_page_shows_the_balance_of_several_losses_alone(run_dir):
    assert "Balance of the losses" not in write(run_dir).read_text()
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    rng = np.random.default_rng(0)
    for line in lines:
        if line["kind"] == "step":
            cosines = {pair: float(rng.uniform(-1, 1)) for pair in PAIRS}
            line["balance"] = {"weights": WEIGHTS, "gradient_cosines": cosines}
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write(run_dir).read_text()
    assert page.index('id="training-title"') < page.index("Balance of the losses")
    assert page.count('<svg class="chart small"') == len(PAIRS)
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
