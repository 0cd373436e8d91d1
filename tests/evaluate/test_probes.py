"""Each probe does what the function behind it does, and says how."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score, roc_auc_score

from twofold.evaluate import (
    ProbeOptions,
    clustering,
    drift,
    few_labels,
    few_shot,
    health,
    knn_regression,
    knn_votes,
    least_drift,
    linear_probe,
    regression_figures,
    retrieval,
    ridge_probe,
    spearman_abs,
)
from twofold.evaluate.metrics import METRICS, read_name
from twofold.evaluate.probes import DEFAULTS, PROBES, Frozen, Observed, Orbits

OPTIONS = ProbeOptions(
    k=5,
    temperature=0.2,
    ks=(1, 3),
    inits=2,
    ways=3,
    shots=2,
    queries=2,
    episodes=20,
    per_class=(1, 4, 1000),
    draws=2,
)
NAMES = {metric: name for name, metric in METRICS.items()}


def orbits_of(items):
    """Six items of each orbit, at the times 0 to 5."""
    row = np.arange(len(items))
    return Orbits(row // 6, (row % 6).astype(np.float64))


def make(kind, seed=0, classes=4, apart=3):
    """Features of 120 and 60 items that tell their labels, not perfectly."""
    rng = np.random.default_rng(seed)
    sizes = (120, 60)
    if kind == "classes":
        labels = [np.arange(n) % classes for n in sizes]
        centres = [apart * np.eye(4, 6)[values] for values in labels]
    else:
        labels = [rng.normal(size=(n, 2)).astype(np.float32) for n in sizes]
        centres = [np.pad(values, ((0, 0), (0, 4))) for values in labels]
    noise = [rng.normal(size=(n, 6)) for n in sizes]
    train, test = (
        torch.tensor(c + e, dtype=torch.float32) for c, e in zip(centres, noise, strict=True)
    )
    if kind == "none":
        labels = [None, None]
    observed = tuple(
        Observed(np.arange(0, len(part), 2), part[::2].numpy() @ rng.normal(size=(6, 2)))
        for part in (train, test)
    )
    return Frozen(
        train,
        test,
        *labels,
        kind,
        observables={"width": "width in mm", "mass": "mass in g"},
        observed=observed,
        train_orbits=orbits_of(train),
        orbits=orbits_of(test),
    )


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, probe in PROBES.items() for kind in probe.metrics]
)
def test_a_probe_gives_the_metrics_it_names(name, kind):
    probe = PROBES[name]
    found = probe.measure(make(kind), OPTIONS, 3)
    figures = {key: value for key, value in found.figures.items() if isinstance(value, dict)}
    named = set(probe.metrics[kind]) - {"alignment", "auc"}  # need views and two classes
    assert {NAMES[read_name(key).metric] for key in figures} == named
    for figure in figures.values():
        assert figure["n"] > 0
        low, high = figure["ci95"] or (figure["value"],) * 2
        assert low - 1e-9 <= figure["value"] <= high + 1e-9
    assert {"interval", "test_labels"} <= found.protocol.keys()
    again = probe.measure(make(kind), OPTIONS, 3)
    assert again.figures == found.figures


def test_probes_by_default_can_be_used():
    assert all(kind in PROBES[name].metrics for kind, names in DEFAULTS.items() for name in names)


def test_probes_of_classes_are_the_functions_behind_them():
    frozen = make("classes")
    found = {
        name: PROBES[name].measure(frozen, OPTIONS, 3) for name in PROBES if name != "regression"
    }
    by_hand = few_shot(
        frozen.test, frozen.test_labels, ways=3, shots=2, queries=2, episodes=20, seed=3
    )
    assert found["fewshot"].figures["accuracy"] == by_hand
    expected = retrieval(frozen.test, frozen.test_labels, ks=(1, 3))
    assert found["retrieval"].figures == expected.figures
    assert found["retrieval"].protocol["dropped_queries"] == expected.dropped == 0
    clusters = clustering(frozen.test, frozen.test_labels, inits=2, seed=3)
    assert found["clustering"].figures == clusters
    assert found["clustering"].protocol["clusters"] == 4
    curve = few_labels(
        frozen.train,
        frozen.labels,
        frozen.test,
        frozen.test_labels,
        per_class=(1, 4),
        draws=2,
        seed=3,
    )
    assert found["fewlabels"].figures == curve
    assert found["fewlabels"].protocol["per_class"] == [1, 4]  # no class has a thousand
    assert list(found["knn"].artefacts) == ["predictions"]


def test_observables_are_predicted_from_the_features_of_their_own_items():
    frozen = make("none")
    known, asked = frozen.observed
    found = PROBES["observables"].measure(frozen, OPTIONS, 3)
    assert list(found.figures) == ["r2_width", "r2_mass"]
    features = frozen.train.numpy()[known.rows], frozen.test.numpy()[asked.rows]
    scales = [values.mean(axis=0) for values in (features[0], known.values)]
    spreads = [values.std(axis=0) for values in (features[0], known.values)]
    ridge = Ridge(alpha=len(known.rows) * found.figures["r2_width"]["l2"])
    ridge.fit((features[0] - scales[0]) / spreads[0], (known.values - scales[1]) / spreads[1])
    predicted = ridge.predict((features[1] - scales[0]) / spreads[0]) * spreads[1] + scales[1]
    expected = r2_score(asked.values, predicted, multioutput="raw_values")
    values = [figure["value"] for figure in found.figures.values()]
    np.testing.assert_allclose(values, expected, rtol=1e-3)
    assert found.protocol["observables"] == ["width in mm", "mass in g"]
    assert found.protocol["test_labels"] == "are not read"


def two(names=("quark", "gluon")):
    return make("classes", classes=2, apart=1)._replace(names=names)


def test_two_classes_are_told_apart_by_their_scores():
    frozen = two()
    votes = knn_votes(frozen.train, frozen.labels, frozen.test, k=5, temperature=0.2)
    logits = linear_probe(frozen.train, frozen.labels, frozen.test, seed=3).scores
    for name, scores in {"knn": votes, "linear": logits}.items():
        found = PROBES[name].measure(frozen, OPTIONS, 3)
        assert list(found.figures) == ["accuracy", "auc"]
        expected = roc_auc_score(frozen.test_labels, scores[:, 1] - scores[:, 0])
        assert found.figures["auc"]["value"] == pytest.approx(expected, abs=1e-12)
        assert 0.8 < expected < 1
        assert found.protocol["auc"] == "counts gluon as positive; DeLong, over test items"
    few = PROBES["fewlabels"].measure(frozen, OPTIONS, 3)
    assert few.figures.keys() == {"accuracy@1", "accuracy@4", "auc@1", "auc@4"}
    assert few.figures["auc@4"]["value"] > few.figures["accuracy@4"]["value"]
    assert few.protocol["per_class"] == [1, 4]
    assert few.protocol["auc"] == "counts gluon as positive"


def test_test_items_of_one_class_have_no_auc_and_it_is_said_why():
    frozen = two(names=())._replace(test_labels=np.zeros(60, np.int64))
    for name in ("knn", "linear"):
        found = PROBES[name].measure(frozen, OPTIONS, 3)
        assert list(found.figures) == ["accuracy"]
        assert found.protocol["auc"].startswith("none: every item is of class 0")
    few = PROBES["fewlabels"].measure(frozen, OPTIONS, 3)
    assert few.figures.keys() == {"accuracy@1", "accuracy@4"}
    assert "auc" not in few.protocol


def test_scores_that_are_nan_have_no_auc_and_it_is_said_why():
    frozen = two()
    broken = frozen._replace(test=frozen.test.clone().index_fill_(0, torch.tensor([7]), torch.nan))
    found = PROBES["knn"].measure(broken, OPTIONS, 3)
    assert list(found.figures) == ["accuracy"]
    assert found.protocol["auc"].startswith("none: a score is NaN")


def test_the_centre_of_cl2n_is_that_of_the_training_items():
    frozen = make("classes")
    options = ProbeOptions(classifier="cl2n", ways=3, episodes=20)
    by_hand = few_shot(
        frozen.test,
        frozen.test_labels,
        ways=3,
        episodes=20,
        classifier="cl2n",
        seed=3,
        centre=frozen.train.mean(0),
    )
    assert PROBES["fewshot"].measure(frozen, options, 3).figures["accuracy"] == by_hand


def test_numbers_are_told_target_by_target():
    frozen = make("numbers")
    by_hand = {
        "knn": knn_regression(frozen.train, frozen.labels, frozen.test, k=5, temperature=0.2),
        "regression": ridge_probe(frozen.train, frozen.labels, frozen.test, seed=3).predictions,
    }
    for name, expected in by_hand.items():
        found = PROBES[name].measure(frozen, OPTIONS, 3)
        np.testing.assert_allclose(found.artefacts[f"predicted_{name}"], expected, rtol=1e-6)
        assert np.array_equal(found.artefacts["true"], frozen.test_labels)
        for target in (0, 1):
            figures = regression_figures(expected[:, target], frozen.test_labels[:, target], seed=3)
            for metric, figure in figures.items():
                assert figure.items() <= found.figures[f"{metric}_{target}"].items()
    assert (
        found.figures["r2_0"]["l2"]
        == ridge_probe(frozen.train, frozen.labels, frozen.test, seed=3).l2
    )
    assert "unit" not in found.figures["mae_0"]
    named = PROBES["regression"].measure(frozen._replace(names=("mass", "charge")), OPTIONS, 3)
    assert named.figures["mae_charge"] == found.figures["mae_1"]
    for name in ("knn", "regression"):
        measured = PROBES[name].measure(frozen._replace(unit="GeV"), OPTIONS, 3).figures
        units = {key: figure.get("unit") for key, figure in measured.items()}
        assert units["mae_0"] == units["rmse_1"] == "GeV"
        assert units["r2_0"] is units["spearman_1"] is None


def test_one_target_has_no_name():
    frozen = make("numbers")
    one = frozen._replace(labels=frozen.labels[:, 0], test_labels=frozen.test_labels[:, 0])
    found = PROBES["regression"].measure(one, OPTIONS, 3)
    assert set(found.figures) == {"r2", "mae", "rmse", "spearman"}
    assert found.artefacts["true"].shape == found.artefacts["predicted_regression"].shape == (60, 1)


def test_health_is_that_of_the_test_items():
    frozen = make("none")
    found, expected = PROBES["health"].measure(frozen, OPTIONS, 3), health(frozen.test)
    assert found.figures["rankme"] == {"value": expected.rankme, "ci95": None, "n": 60}
    assert found.figures["verdict"] == expected.verdict == "healthy"


@pytest.mark.parametrize("level", [0.0, 1.0, 1000.0])
def test_a_constant_embedding_never_reads_as_healthy(level):
    frozen = make("none")._replace(test=torch.full((60, 6), level))
    found = PROBES["health"].measure(frozen, OPTIONS, 3).figures
    assert found["verdict"] == "constant"
    assert found["rankme"]["value"] == found["std_ratio"]["value"] == 0


def test_few_items_of_many_dimensions_are_not_called_collapsed():
    """At most n - 1 directions can be used, and these use them all."""
    few = torch.randn(20, 500, generator=torch.Generator().manual_seed(0))
    found = PROBES["health"].measure(make("none")._replace(test=few), OPTIONS, 3).figures
    assert found["verdict"] == "healthy"
    assert found["rank_fraction"]["value"] > 0.95


def test_several_numbers_are_read_along_the_direction_of_least_drift_if_times_are_known():
    rng = np.random.default_rng(0)

    def part(orbits):
        orbit = np.repeat(np.arange(orbits), 10)
        time = rng.uniform(0, 0.3, len(orbit))
        energy = rng.normal(size=orbits).astype(np.float32)[orbit]
        phase = np.sin(rng.uniform(0, 6, orbits)[orbit] + time)
        seen = np.stack([energy + 0.1 * rng.normal(size=len(orbit)) + phase, phase], axis=1)
        return torch.tensor(seen, dtype=torch.float32), energy, Orbits(orbit, time)

    (train, known, of_train), (test, true, of_test) = part(300), part(100)
    frozen = Frozen(train, test, known, true, "numbers", train_orbits=of_train, orbits=of_test)
    found = PROBES["conserved"].measure(frozen, OPTIONS, 0)
    direction = least_drift(train.numpy(), *of_train)
    expected = spearman_abs(test.numpy() @ direction, true)
    assert found.figures["spearman"]["value"] == pytest.approx(expected)
    assert expected > 0.98
    assert found.figures["drift"]["value"] == pytest.approx(drift(test.numpy(), *of_test))
    assert "least drift" in found.protocol["reading"]
    timeless = frozen._replace(train_orbits=None, orbits=of_test._replace(times=None))
    blurred = PROBES["conserved"].measure(timeless, OPTIONS, 0)
    assert "spectral" in blurred.protocol["reading"]
    assert "drift" not in blurred.figures
