import copy
import json

import pytest
import yaml

import twofold
from twofold.comparison import Comparison, compare
from twofold.errors import TwofoldError

CONFIG = {
    "recipe": {
        "name": "simclr",
        "objectives": {"contrast": {"projector": [1024, 128], "temperature": 0.1}},
        "weights": {},
        "encoder": "resnet18",
        "stem": None,
        "optimizer": {"learning_rate": 0.24},
    },
    "data": {"data": "digits", "test": None},
    "settings": {"seed": 0, "device": "auto"},
    "found": {
        "twofold": "0.1.0",
        "note": "digits: 1,797 images",
        "fingerprint": "ab1f",
        "network": "resnet18",
        "preprocess": {"mean": [0.3]},
        "hardware": {"device": "cpu", "precision": "bf16"},
    },
}
LINES = [
    {"kind": "step", "step": 20, "images_per_s": 90.0, "elapsed": 61.25},
    {"kind": "epoch", "epoch": 1, "step": 20, "elapsed": 61.5},
    {"kind": "end", "step": 20, "images_per_s": 104.6, "parameters": 110928, "elapsed": 62.345},
]


def figure(value, low, high, n=359):
    return {"value": value, "ci95": [low, high], "n": n}


def judged(own, *, data="digits", n=359):
    """The evaluation of a run whose accuracy is `own`, as value and interval."""
    protocol = {"k": 20, "data": data, "test_items": n}
    raw = figure(0.5, 0.4, 0.6, n)
    return {"knn": {"accuracy": figure(*own, n), "accuracy_raw": raw, "protocol": protocol}}


@pytest.fixture
def make(tmp_path):
    """Makes a run folder; `changes` are settings by their path, as `recipe.encoder`."""

    def make(name, evaluation=None, lines=LINES, **changes):
        config = copy.deepcopy(CONFIG)
        for path, value in changes.items():
            part = config
            *above, last = path.split(".")
            for key in above:
                part = part[key]
            part[last] = value
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        if evaluation is not None:
            (folder / "evaluation.json").write_text(json.dumps(evaluation))
        return folder

    return make


GOOD, BETTER, BEST = (0.80, 0.78, 0.82), (0.83, 0.81, 0.85), (0.90, 0.88, 0.92)


def test_only_settings_that_differ_are_shown_by_the_name_of_their_flag(make):
    changes = {
        "recipe.objectives": {"contrast": {"projector": [512, 128], "temperature": 0.5}},
        "recipe.stem": "strided",
        "settings.seed": 1,
        "data.data": "photos",
        "found.note": "photos: 3 images",
        "found.preprocess": {"mean": [0.5]},
    }
    found = compare([make("a"), make("b", **changes)])
    assert found.differences == {
        "objectives.contrast.projector": ([1024, 128], [512, 128]),
        "objectives.contrast.temperature": (0.1, 0.5),
        "stem": (None, "strided"),
        "data": ("digits", "photos"),
        "seed": (0, 1),
    }
    rows = {row.name: row.cells for row in found.table()["settings that differ"]}
    assert rows["objectives.contrast.projector"] == ("1024 128", "512 128")
    assert rows["stem"] == ("", "strided")


def test_what_a_run_settled_itself_is_shown_as_it_turned_out(make):
    other = {"found.hardware": {"device": "cuda", "precision": "bf16"}, "found.network": "Mine"}
    found = compare([make("a"), make("b", **other)])
    assert found.differences == {"encoder": ("resnet18", "Mine"), "device": ("cpu", "cuda")}


def test_a_setting_that_one_recipe_lacks_is_blank(make):
    other = {"recipe.name": "byol", "recipe.objectives": {"predict": {"decay": 0.99}}}
    found = compare([make("a"), make("b", **other)])
    assert found.differences["recipe"] == ("simclr", "byol")
    assert found.differences["objectives.contrast.temperature"] == (0.1, None)
    assert found.differences["objectives.predict.decay"] == (None, 0.99)


def test_equal_runs_differ_in_nothing(make):
    found = compare([make("a", judged(GOOD)), make("b", judged(GOOD))])
    assert found.differences == {}
    assert found.remarks == ()
    assert list(found.table()) == ["figures", "cost"]


@pytest.mark.parametrize(
    ("figures", "best"),
    [
        ([GOOD, BEST, BETTER], 1),
        ([BEST, GOOD, GOOD], 0),
        ([GOOD, BETTER], None),  # 0.81 is below 0.82
        ([(0.80, 0.78, 0.82), (0.84, 0.82, 0.86)], None),  # they touch
        ([BEST, BEST], None),
        ([GOOD, BEST, (0.87, 0.70, 0.95)], None),  # not the nearest but the widest overlaps
        ([None, BEST], None),  # nothing to be better than
        ([None, GOOD, BEST], 2),
    ],
)
def test_a_run_is_the_best_if_no_other_interval_overlaps_its_own(make, figures, best):
    found = compare([make(str(i), own and judged(own)) for i, own in enumerate(figures)])
    assert found.best("knn", "accuracy") == best
    assert found.best("knn", "accuracy_raw") is None
    row, raw = found.table()["figures"]
    assert (row.name, row.best) == ("knn accuracy", best)
    assert (raw.name, raw.best) == ("knn accuracy, raw", None)
    assert str(found).count(" *") == (best is not None)


def errors(value):
    """The evaluation of a run that predicts numbers, with an error of `value`."""
    metrics = {
        "r2": figure(1 - value, 0.95 - value, 1.05 - value),
        "mae": figure(10 * value, 10 * value - 0.5, 10 * value + 0.5),
        "rmse_raw": figure(0.0123, 0.0119, 0.0127),
    }
    health = {"rankme": {"value": 131.2, "ci95": None, "n": 359}, "verdict": "no ci95 here"}
    protocol = {"data": "digits"}
    return {
        "regression": {**metrics, "protocol": protocol},
        "health": {**health, "protocol": protocol},
        "transfer": {"other": {"knn": {"accuracy": figure(0.5, 0.4, 0.6)}}},
    }


def test_figures_are_in_their_unit_and_the_lowest_error_is_the_best(make):
    found = compare([make("a", errors(0.3)), make("b", errors(0.1))])
    rows = {row.name: row for row in found.table()["figures"]}
    assert rows["regression R²"].cells == ("0.700", "0.900")
    assert rows["regression MAE"].cells == ("3.00", "1.00")
    assert rows["regression MAE"].intervals == ("2.50 to 3.50", "0.50 to 1.50")
    assert rows["regression RMSE, raw"].cells == ("0.0123", "0.0123")
    assert rows["health RankMe"].cells == ("131", "131")
    assert rows["health RankMe"].intervals == ("", "")
    assert {name: row.best for name, row in rows.items()} == {
        "regression R²": 1,
        "regression MAE": 1,
        "regression RMSE, raw": None,
        "health RankMe": None,
    }


@pytest.mark.parametrize(
    ("evaluation", "changes"),
    [
        (judged(BEST, data="other"), {}),
        (judged(BEST, n=10_000), {}),
        (judged(BEST), {"found.fingerprint": "cd2e"}),
    ],
)
def test_other_data_is_never_compared_in_silence(make, evaluation, changes):
    folders = make("a", judged(GOOD)), make("b", evaluation, **changes), make("c", judged(GOOD))
    found = compare(folders)
    assert not found.comparable
    assert found.best("knn", "accuracy") is None
    first = str(found).splitlines()[0]
    assert first.startswith(
        "judged on different data: a, c on digits (359 test items, fingerprint ab1f); b on "
    )
    assert found.remarks == (first,)


def test_the_items_judged_on_count_where_an_evaluation_names_them(make):
    """A run may be judged on other data than it was trained on."""
    evaluation = judged(GOOD)
    evaluation["knn"]["protocol"]["fingerprint"] = "7777"
    trained = ({"found.fingerprint": fingerprint} for fingerprint in ("ab1f", "cd2e"))
    assert compare([make(str(i), evaluation, **t) for i, t in enumerate(trained)]).comparable


def test_figures_over_draws_and_over_items_are_of_the_same_items(make):
    """The number that a figure rests on need not be that of the test items."""
    evaluation = judged(GOOD)
    draws = {"accuracy@1": figure(*GOOD, 5), "protocol": evaluation["knn"]["protocol"]}
    assert compare(
        [make("a", {"fewlabels": draws} | evaluation), make("b", judged(GOOD))]
    ).comparable


def test_a_run_without_evaluation_has_blanks_and_the_command_that_fills_them(make):
    plain, array = make("plain"), make("array", **{"data.data": ""})
    found = compare([make("a", judged(BEST)), plain, array])
    assert found.figures["knn", "accuracy"] == (figure(*BEST), None, None)
    assert found.table()["figures"][0].cells == ("90.0 %", "", "")
    assert found.table()["figures"][0].intervals == ("88.0 to 92.0", "", "")
    assert found.remarks == (
        f"{plain} has no evaluation; make one with `twofold evaluate {plain}`",
        f"{array} has no evaluation; make one with `twofold evaluate {array} --data D`",
    )


def test_an_evaluation_that_was_cut_short_is_none(make):
    folder = make("b", judged(GOOD))
    (folder / "evaluation.json").write_text('{"knn": {')
    found = compare([make("a", judged(GOOD)), folder])
    assert found.judged_on[1] is None
    assert "has no evaluation" in found.remarks[0]


def test_cost_is_that_of_the_end(make):
    found = compare([make("a", judged(GOOD)), make("b", judged(GOOD), lines=[])])
    rows = {row.name: row.cells for row in found.table()["cost"]}
    assert rows == {
        "training seconds": ("62.3", ""),
        "items/s": ("105", ""),
        "parameters": ("110,928", ""),
        "steps": ("20", ""),
    }


def test_a_run_that_has_not_ended_says_so(make):
    folder = make("b", judged(GOOD), lines=LINES[:2])
    found = compare([make("a", judged(GOOD)), folder])
    assert found.cost["training seconds"] == (62.3, 61.2)
    assert found.cost["parameters"] == (110928, None)
    (remark,) = found.remarks
    assert "its cost is that of 20 steps" in remark
    assert f"`twofold pretrain --resume {folder}`" in remark


def test_runs_are_called_by_their_folder_or_their_path(make, tmp_path):
    a, b, c = make("x/run"), make("y/run"), make("z")
    assert compare([a, b, c]).names == (str(a), str(b), "z")


def test_columns_are_aligned(make):
    long = make("a-name-longer-than-any-cell-of-it", judged(GOOD), **{"settings.seed": 3})
    lines = str(compare([long, make("b", judged(GOOD))])).splitlines()
    at = lines[0].index("  b") + 2
    rows = [line for line in lines if line.startswith("  ") and line.strip()]
    assert len(rows) == 1 + 1 + 2 + 4
    assert all(line[at - 2 : at] == "  " and line[at] != " " for line in rows)


def test_the_public_name_is_the_function(make):
    """Also once the module of the comparison has been imported."""
    assert isinstance(twofold.compare([make("a"), make("b")]), Comparison)


def test_what_cannot_be_compared_is_refused_in_one_line(make, tmp_path):
    a = make("a")
    (tmp_path / "link").symlink_to(a)
    (tmp_path / "empty").mkdir()
    make("broken").joinpath("config.yaml").write_text("a: [1,\n")
    for folders, words in [
        ([], "there is no run to compare; it takes at least two"),
        ([a], "there is one run to compare"),
        ([a, tmp_path / "nothing"], "is no run: it does not exist"),
        ([a, tmp_path / "empty"], "is no run: it has no config.yaml"),
        ([a, tmp_path / "link"], "link is given twice; name each run once"),
        ([a, tmp_path / "broken"], "cannot be read as YAML"),
    ]:
        with pytest.raises(TwofoldError, match=words) as caught:
            compare(folders)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        3,
        {"accuracy": {"vahue": 0.5, "ci95": [0.4, 0.6]}},
        {"accuracy": {"value": "high", "ci95": [0.4, 0.6]}},
        {"accuracy": {"value": 0.5, "ci95": 0.6}},
        {"accuracy": {"value": 0.5, "ci95": [0.4, 0.6]}, "protocol": 3},
    ],
)
def test_figures_that_are_none_are_left_out(make, entry):
    """Somebody may have edited the file by hand."""
    said = str(compare([make(name, {"knn": entry}) for name in "ab"]))
    assert "50.0 %" not in said
    entry = judged((0.5, 0.4, 0.6), n="few")
    assert "50.0 %" in str(compare([make(name, entry) for name in "cd"]))
