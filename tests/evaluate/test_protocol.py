import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy_jets import make_jets

from twofold.augment import IMAGE, Views
from twofold.domains import Data, Source
from twofold.domains.jet import measure as measure_jets
from twofold.errors import TwofoldError
from twofold.evaluate import (
    evaluate,
    evaluate_embeddings,
    features,
    health,
    knn,
    linear_probe,
    neighbours,
    picture,
)
from twofold.preprocess import measure


def source(n, seed, size=6):
    """Three classes, each brighter in another channel, in much noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    items = rng.integers(0, 200, (n, 3, size, size))
    items[np.arange(n), labels] += 25
    return Source(
        name=f"toy {seed}",
        items=items.astype(np.uint8),
        ids=[f"{seed}/{i}" for i in range(n)],
        labels=labels,
    )


@pytest.fixture(scope="module")
def data():
    return Data(name="toy", train=source(300, 0), test=source(90, 1), note="three colours")


@pytest.fixture(scope="module")
def networks():
    """An encoder that sees the colour and one that hardly does."""
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    corner = nn.Sequential(nn.Flatten(), nn.Linear(108, 2))
    nn.init.normal_(corner[1].weight, generator=torch.Generator().manual_seed(0))
    return pool, corner


@pytest.fixture(scope="module")
def found(data, networks):
    encoder, untrained = networks
    return evaluate(encoder, data, measure(data.train.items), untrained=untrained)


def test_figures_are_those_of_the_probes_by_hand(found, data, networks):
    preprocess = measure(data.train.items)
    train, test = (
        features(networks[0], part.items, preprocess) for part in (data.train, data.test)
    )
    predictions = knn(train, data.train.labels, test, k=20, temperature=0.07)
    assert found.artefacts["predictions"].tolist() == predictions.tolist()
    share = (predictions.numpy() == data.test.labels).mean()
    assert found.figures["knn"]["accuracy"]["value"] == share
    linear = linear_probe(train, data.train.labels, test)
    figure = found.figures["linear"]["accuracy"]
    assert figure["value"] == (linear.predictions.numpy() == data.test.labels).mean()
    assert figure["l2"] == linear.l2
    assert figure["ci95"][0] < figure["value"] < figure["ci95"][1]
    assert figure["n"] == 90


def test_raw_is_unit_pixels(found, data):
    train, test = (torch.tensor(part.items).flatten(1) / 255 for part in (data.train, data.test))
    predictions = knn(train, data.train.labels, test).numpy()
    assert found.figures["knn"]["accuracy_raw"]["value"] == (predictions == data.test.labels).mean()


def test_a_good_encoder_beats_both_baselines(found):
    for probe in ("knn", "linear"):
        figures = found.figures[probe]
        assert figures["accuracy"]["value"] > figures["accuracy_raw"]["value"]
        assert figures["accuracy"]["value"] > figures["accuracy_untrained"]["value"] + 0.2


def test_figures_are_json_with_their_protocol(found):
    figures = json.loads(json.dumps(found.figures))
    assert figures == found.figures
    assert figures["knn"]["protocol"]["k"] == 20
    for probe in ("knn", "linear"):
        protocol = figures[probe]["protocol"]
        assert (protocol["train_items"], protocol["test_items"], protocol["seed"]) == (300, 90, 0)


def test_test_labels_enter_no_choice(found, data, networks):
    shuffled = replace(data, test=replace(data.test, labels=data.test.labels[::-1].copy()))
    encoder, untrained = networks
    again = evaluate(encoder, shuffled, measure(data.train.items), untrained=untrained)
    for name, values in found.artefacts.items():
        assert np.array_equal(again.artefacts[name], values)
    for name in ("accuracy", "accuracy_raw", "accuracy_untrained"):
        assert again.figures["linear"][name]["l2"] == found.figures["linear"][name]["l2"]
    assert again.figures["knn"]["accuracy"]["value"] < found.figures["knn"]["accuracy"]["value"]


def test_the_same_call_gives_the_same_bits(found, data, networks):
    encoder, untrained = networks
    again = evaluate(encoder, data, measure(data.train.items), untrained=untrained)
    assert again.figures == found.figures
    assert all(np.array_equal(again.artefacts[name], found.artefacts[name]) for name in again[1])


def test_large_raw_input_is_shrunk_and_says_so(networks):
    data = Data(name="toy", train=source(60, 0, 40), test=source(20, 1, 40), note="")
    preprocess = measure(data.train.items)
    other = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    found = evaluate(networks[0], data, preprocess, untrained=other, probes=["knn"])
    assert found.figures["knn"]["protocol"]["raw_size"] == 32
    assert list(found.figures) == ["knn"]


def test_picture_points_at_true_neighbours():
    generator = torch.Generator().manual_seed(0)
    train, test = (torch.randn(n, 5, generator=generator) for n in (200, 2000))
    found = picture(train, test, seed=4)
    assert {name: values.shape for name, values in found.items()} == {
        "query_index": (48,),
        "neighbour_index": (48, 8),
        "neighbour_similarity": (48, 8),
        "map_index": (1500,),
        "map_features": (1500, 5),
    }
    assert len(np.unique(found["query_index"])) == 48
    assert len(np.unique(found["map_index"])) == 1500
    similarity, index = neighbours(train, test, k=8)
    assert np.array_equal(found["neighbour_index"], index[found["query_index"]])
    np.testing.assert_allclose(
        found["neighbour_similarity"], similarity[found["query_index"]], rtol=1e-5
    )
    assert np.array_equal(found["map_features"], test[found["map_index"]])
    assert not np.array_equal(picture(train, test, seed=5)["query_index"], found["query_index"])


def test_progress_says_what_is_being_done(data, networks):
    said = []
    evaluate(
        networks[0],
        data,
        measure(data.train.items),
        untrained=networks[1],
        probes=["knn"],
        progress=said.append,
    )
    assert said[0] == "features of 300 training items"
    assert "untrained network: nearest neighbours" in said


def test_data_without_labels_says_what_to_do(data, networks):
    bare = replace(data, test=replace(data.test, labels=None))
    with pytest.raises(TwofoldError, match=r"'toy 1' has no labels.*one folder per class"):
        evaluate(networks[0], bare, measure(data.train.items), untrained=networks[1])


def test_without_labels_health_is_what_can_be_said(data, networks):
    bare = replace(data, **{p: replace(getattr(data, p), labels=None) for p in ("train", "test")})
    preprocess = measure(data.train.items)
    found = evaluate(networks[0], bare, preprocess, untrained=networks[1])
    assert list(found.figures) == ["health"]
    expected = health(features(networks[0], data.test.items, preprocess))
    assert found.figures["health"]["rankme"] == {"value": expected.rankme, "ci95": None, "n": 90}
    assert found.figures["health"]["verdict"] == expected.verdict
    assert {"rankme_raw", "rankme_untrained", "verdict_raw"} <= found.figures["health"].keys()
    with pytest.raises(TwofoldError, match="has no labels, and knn needs one"):
        evaluate(networks[0], bare, preprocess, probes=["knn"])


def test_with_views_health_knows_how_alike_they_are(data, networks):
    preprocess = measure(data.train.items)
    found = {
        strength: evaluate(
            networks[0],
            data,
            preprocess,
            untrained=networks[1],
            views=Views(
                {"brightness": replace(IMAGE["brightness"], probability=1.0, strength=strength)},
                {"brightness": "invariant"},
                channels=3,
                size=6,
            ),
            probes=["health"],
        ).figures["health"]
        for strength in (0.0, 0.8)
    }
    for end in ("", "_raw", "_untrained"):
        assert found[0.0][f"alignment{end}"]["value"] == pytest.approx(0, abs=1e-9)
        low, high = found[0.8][f"alignment{end}"]["ci95"]
        assert 0 < low < found[0.8][f"alignment{end}"]["value"] < high
        assert found[0.8][f"alignment{end}"]["n"] == 90
    assert found[0.8]["rankme"] == found[0.0]["rankme"]  # of items as they are
    without = evaluate(networks[0], data, preprocess, probes=["health"]).figures["health"]
    assert "alignment" not in without
    assert without["protocol"]["alignment"].startswith("none: ")


def numbers(data, columns=None):
    """The data with the mean of an item in place of its class."""
    parts = {}
    for part in ("train", "test"):
        source = getattr(data, part)
        means = source.items.mean(axis=(2, 3)).astype(np.float32)
        labels = means[:, 0] if columns is None else means[:, :columns]
        parts[part] = replace(source, labels=labels, label_names=())
    return replace(data, **parts)


def test_numbers_are_regressed_with_baselines(data, networks):
    found = evaluate(networks[0], numbers(data), measure(data.train.items), untrained=networks[1])
    assert list(found.figures) == ["knn", "regression"]
    ridge = found.figures["regression"]
    assert ridge["r2"]["value"] > 0.999  # the features are the means themselves
    assert ridge["mae"]["value"] < 0.5 < ridge["mae_untrained"]["value"]
    assert ridge["mae"]["ci95"][0] <= ridge["mae"]["value"] <= ridge["mae"]["ci95"][1]
    assert "predictions" not in found.artefacts
    true = numbers(data).test.labels
    assert np.array_equal(found.artefacts["true"][:, 0], true)
    error = np.abs(found.artefacts["predicted_regression"][:, 0] - true).mean()
    assert error == pytest.approx(ridge["mae"]["value"], rel=1e-4)


def test_errors_of_every_input_carry_the_unit(data, networks):
    mass = numbers(data)
    mass = replace(mass, test=replace(mass.test, label_unit="GeV"))
    found = evaluate(networks[0], mass, measure(data.train.items), untrained=networks[1])
    for figures in found.figures.values():
        for name, figure in figures.items():
            assert ("unit" in figure) == name.startswith(("mae", "rmse"))
    assert found.figures["knn"]["rmse_untrained"]["unit"] == "GeV"


def two(data, names=("dark", "bright")):
    """The data of the first two classes alone."""
    parts = {}
    for part in ("train", "test"):
        source = getattr(data, part)
        rows = np.flatnonzero(source.labels < 2)
        parts[part] = replace(source.take(rows), label_names=names)
    return replace(data, **parts)


def test_two_classes_have_an_auc_with_baselines(data, networks):
    encoder, untrained = networks
    found = evaluate(encoder, two(data), measure(data.train.items), untrained=untrained).figures
    for probe in ("knn", "linear"):
        figures = found[probe]
        assert {"auc", "auc_raw", "auc_untrained"} < figures.keys()
        assert figures["auc"]["value"] > max(0.9, figures["auc_untrained"]["value"])
        assert figures["protocol"]["auc"].startswith("counts bright as positive")


def test_several_targets_are_told_apart(data, networks):
    both = numbers(data, columns=2)
    named = replace(
        both,
        train=replace(both.train, label_names=("red", "green")),
        test=replace(both.test, label_names=("red", "green")),
    )
    preprocess = measure(data.train.items)
    for items, ends in ((both, ("0", "1")), (named, ("red", "green"))):
        found = evaluate(networks[0], items, preprocess, probes=["regression"])
        assert {f"r2_{end}" for end in ends} < found.figures["regression"].keys()


def test_what_the_labels_do_not_fit_is_left_out_with_a_remark(data, networks):
    preprocess = measure(data.train.items)
    found = evaluate(networks[0], data, preprocess, probes=["knn", "regression", "knn"])
    assert list(found.figures) == ["knn"]
    (remark,) = found.remarks
    assert remark.startswith("regression is left out: labels of 'toy 0' are classes")
    with pytest.raises(TwofoldError, match="are classes, and regression needs numbers; choose"):
        evaluate(networks[0], data, preprocess, probes=["regression"])
    with pytest.raises(TwofoldError, match="are numbers to regress, and fewshot needs classes"):
        evaluate(networks[0], numbers(data), preprocess, probes=["fewshot"])
    mixed = replace(data, test=numbers(data).test)
    with pytest.raises(TwofoldError, match="'toy 0' are classes and of 'toy 1' numbers"):
        evaluate(networks[0], mixed, preprocess)


def test_what_experts_read_off_jets_is_predicted_unless_other_probes_are_asked_for(data, networks):
    jets = [make_jets(count, size=6, seed=count) for count in (60, 40)]
    parts = [
        Source(name="jets", items=items, ids=range(len(items)), labels=labels.astype(np.int64))
        for items, labels, _ in jets
    ]
    data = Data(name="jets", train=parts[0], test=parts[1], note="toy")
    train, test = (replace(part, domain="jet") for part in parts)
    of_jets = replace(data, train=train, test=test)
    how = {"raw": False, "k": 5}
    preprocess = measure_jets(parts[0].items)
    found = evaluate(networks[0], of_jets, preprocess, **how).figures
    assert list(found) == ["knn", "linear", "observables"]
    figures = [name for name in found["observables"] if name != "protocol"]
    assert figures == ["r2_multiplicity", "r2_energy", "r2_girth", "r2_ptd"]
    energy = found["observables"]["r2_energy"]
    assert energy["value"] > 0.95  # the mean of every channel is what this encoder gives
    assert energy["n"] == 40
    asked = evaluate(networks[0], of_jets, preprocess, probes=["knn"], **how)
    assert list(asked.figures) == ["knn"]
    with pytest.raises(TwofoldError, match="holds images, and it is not known what experts read"):
        evaluate(networks[0], data, preprocess, probes=["observables"], **how)


def test_figures_of_one_measure_stand_together(data, networks):
    probes = ["retrieval", "knn"]
    found = evaluate(
        networks[0], data, measure(data.train.items), untrained=networks[1], probes=probes, ks=(1,)
    )
    assert list(found.figures) == probes
    assert list(found.figures["retrieval"]) == [
        f"{metric}{end}"
        for metric in ("r@1", "r_precision", "map@r")
        for end in ("", "_raw", "_untrained")
    ] + ["protocol"]


def test_baselines_can_be_left_out(data, networks):
    found = evaluate(networks[0], data, measure(data.train.items), raw=False)
    assert set(found.figures["knn"]) == {"accuracy", "protocol"}
    assert "raw_size" not in found.figures["knn"]["protocol"]


def test_embeddings_are_judged_as_the_encoder_that_made_them(data, networks, found):
    preprocess = measure(data.train.items)
    embedded = {}
    for part in ("train", "test"):
        source = getattr(data, part)
        points = features(networks[0], source.items, preprocess).numpy()[:, :, None, None]
        embedded[part] = replace(source, items=points)
    again = evaluate_embeddings(replace(data, **embedded))
    for probe in ("knn", "linear"):
        assert again.figures[probe]["accuracy"] == found.figures[probe]["accuracy"]
        assert set(again.figures[probe]) == {"accuracy", "protocol"}
        assert again.figures[probe]["protocol"]["layer"] == "embeddings"
    assert np.array_equal(again.artefacts["predictions"], found.artefacts["predictions"])


def test_other_mistakes_are_told(data, networks):
    encoder, untrained = networks
    preprocess = measure(data.train.items)
    with pytest.raises(TwofoldError, match="did you mean 'linear'"):
        evaluate(encoder, data, preprocess, untrained=untrained, probes=["liner"])
    with pytest.raises(TwofoldError, match="untrained is the encoder itself"):
        evaluate(encoder, data, preprocess, untrained=encoder)
    with pytest.raises(TwofoldError, match=r"unknown option 'kk'; did you mean 'k'\?"):
        evaluate(encoder, data, preprocess, kk=3)
    with pytest.raises(TwofoldError, match="k is 301"):
        evaluate(encoder, data, preprocess, untrained=untrained, k=301)
