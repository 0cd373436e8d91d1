"""The scikit-learn estimator: what it learns, and that scikit-learn can do with it what it does."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

import twofold
from twofold import SelfSupervisedEncoder, TwofoldError
from twofold.folder import read_metrics

DIGITS, CLASSES = load_digits(return_X_y=True)
SMALL = {"width": 0.25, "threads": 1}


def small(recipe="simclr", **parameters):
    """An estimator that is fitted in a moment."""
    given = {"epochs": 1, "encoder": "resnet-small", "options": SMALL} | parameters
    return SelfSupervisedEncoder(recipe, **given)


@pytest.fixture(scope="module")
def fitted():
    """An estimator that only knows the first 300 digits."""
    return small(batch_size=32).fit(DIGITS[:300])


class OneChannel(nn.Module):
    """A network as a user writes one."""

    num_features = 3

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, images):
        return self.layer(images).mean(dim=(2, 3))


# A scikit-learn check brings rows of a few features, which make no picture: here each is a channel
# of an image of one pixel.
@parametrize_with_checks([small(batch_size=8, image_shape=(-1, 1, 1))])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_it_learns_what_pretrain_learns(fitted, tmp_path):
    run = twofold.pretrain(
        "simclr",
        data=twofold.open_data(
            DIGITS[:300].reshape(-1, 1, 8, 8), test=DIGITS[:300].reshape(-1, 1, 8, 8)
        ),
        out=tmp_path / "run",
        encoder="resnet-small",
        epochs=1,
        batch_size=32,
        quiet=True,
        **SMALL,
    )
    wanted = run.encoder().embed(DIGITS[300:320].reshape(-1, 1, 8, 8))
    found = fitted.transform(DIGITS[300:320])
    assert found.dtype == np.float32
    assert found.shape == (20, 64)
    np.testing.assert_array_equal(found, wanted)
    assert fitted.run_ is None


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (8, 8, 1)])
def test_images_are_the_same_flat_or_not(fitted, shape):
    images = DIGITS[:300].reshape(-1, *shape)
    other = clone(fitted).fit(images)
    assert other.n_features_in_ == 64
    np.testing.assert_array_equal(other.transform(images[:9]), fitted.transform(DIGITS[:9]))
    if shape != (8, 8, 1):
        np.testing.assert_array_equal(fitted.transform(images[:9]), fitted.transform(DIGITS[:9]))


@pytest.mark.parametrize("shape", [(3, 4, 6), (-1, 4, 6), (12, 6)])
def test_rows_are_images_of_the_shape_that_is_said(shape):
    rows = np.random.default_rng(0).integers(0, 256, (40, 72), dtype=np.uint8)
    estimator = small(image_shape=shape).fit(rows)
    assert estimator.image_shape_ == ((1, 12, 6) if shape == (12, 6) else (3, 4, 6))
    assert estimator.encoder_.preprocess.channels == estimator.image_shape_[0]
    assert estimator.encoder_.preprocess.dtype == "uint8"


@pytest.mark.parametrize(
    ("shape", "images", "error"),
    [
        (None, np.zeros((40, 10)), "X has 10 features a row, but that is no square image; say "),
        ((3, 4, 4), np.zeros((40, 64)), r"features a row, but image_shape is \(3, 4, 4\); say "),
        ("rgb", np.zeros((40, 64)), "features a row, but image_shape is rgb; say image_shape="),
        ((1, 8, 8), np.zeros((40, 4, 16)), r"images of shape \(1, 4, 16\); they must be \(1, 8, 8"),
        (None, np.zeros((40, 8, 8, 2, 2)), "images must be"),
    ],
)
def test_rows_that_are_no_images_are_refused_in_one_line(shape, images, error):
    with pytest.raises(TwofoldError, match=error) as refused:
        small(image_shape=shape).fit(images)
    assert "\n" not in str(refused.value)


def test_images_of_another_shape_are_refused(fitted):
    with pytest.raises(TwofoldError, match=r"images of shape \(1, 4, 16\); they must be \(1, 8, 8"):
        fitted.transform(DIGITS[:9].reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="X has 49 features, but SelfSupervisedEncoder is expect"):
        fitted.transform(np.zeros((9, 7, 7)))


def test_it_serves_a_classifier_in_a_pipeline():
    pipeline = Pipeline(
        [
            ("ssl", small(epochs=3, batch_size=64)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(max_iter=1000)),
        ]
    )
    train, test = slice(0, 1000), slice(1000, None)
    score = pipeline.fit(DIGITS[train], CLASSES[train]).score(DIGITS[test], CLASSES[test])
    assert score > 0.6  # chance is 0.1
    assert pipeline[:-1].get_feature_names_out()[0] == "selfsupervisedencoder0"


def test_its_parameters_can_be_searched():
    pipeline = make_pipeline(small(), LogisticRegression(max_iter=1000))
    grid = {"selfsupervisedencoder__epochs": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(DIGITS[:120], CLASSES[:120])
    best = search.best_estimator_.named_steps["selfsupervisedencoder"]
    assert best.epochs == search.best_params_["selfsupervisedencoder__epochs"]
    assert set(search.cv_results_["param_selfsupervisedencoder__epochs"]) == {1, 2}
    assert cross_val_score(search.best_estimator_, DIGITS[:120], CLASSES[:120], cv=2).shape == (2,)


def test_it_carries_its_encoder_when_it_is_pickled(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.transform(DIGITS[:9]), fitted.transform(DIGITS[:9]))


def test_route_and_layer_are_read_when_images_are_transformed(fitted):
    other = pickle.loads(pickle.dumps(fitted)).set_params(layer="projector.1")
    embeddings = other.transform(DIGITS[:9])
    assert len(other.get_feature_names_out()) == embeddings.shape[1] != 64
    images = DIGITS[:9].reshape(-1, 1, 8, 8)
    wanted = fitted.encoder_.embed(images, layer="projector.1")
    np.testing.assert_array_equal(embeddings, wanted)
    with pytest.raises(TwofoldError, match="unknown route 'predict'"):
        other.set_params(route="predict").transform(DIGITS[:9])


def test_labels_matter_only_to_recipes_that_learn_from_them(fitted):
    rows, labels = DIGITS[:60], CLASSES[:60].astype(str)
    free = [clone(fitted).fit(rows, y).transform(rows) for y in (None, labels)]
    np.testing.assert_array_equal(*free)
    taught = [
        small("supervised").fit(rows, y).transform(rows) for y in (labels, np.roll(labels, 1))
    ]
    assert np.abs(taught[0] - taught[1]).max() > 1e-3
    with pytest.raises(TwofoldError, match="label"):
        small("supervised").fit(rows)


def test_a_network_of_one_s_own_is_copied():
    network = OneChannel()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    estimator = small(encoder=network, options={"threads": 1})
    assert clone(estimator).fit_transform(DIGITS[:40]).shape == (40, 3)
    estimator.fit(DIGITS[:40])
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    trained = estimator.encoder_.backbone.state_dict()
    assert not torch.equal(trained["layer.weight"], before["layer.weight"])


def test_a_seed_gives_the_same_and_a_generator_another_each_time():
    first, again = (small(random_state=3).fit_transform(DIGITS[:40]) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    generator = np.random.RandomState(3)
    one, other = (small(random_state=generator).fit_transform(DIGITS[:40]) for _ in range(2))
    assert np.abs(one - other).max() > 1e-3


def test_the_run_stays_where_it_is_asked_to(tmp_path):
    estimator = small(out=tmp_path / "run", options=SMALL | {"monitor_every": 3}, epochs=3)
    embeddings = estimator.fit_transform(DIGITS[:40])
    kinds = [line["kind"] for line in read_metrics(estimator.run_.folder)]
    assert kinds.count("epoch") == 1
    images = DIGITS[:40].reshape(-1, 1, 8, 8)
    np.testing.assert_array_equal(estimator.run_.encoder().embed(images), embeddings)
    with pytest.raises(TwofoldError, match="already holds a run"):
        estimator.fit(DIGITS[:40])


def test_wrong_parameters_are_named_when_it_is_fitted():
    with pytest.raises(TwofoldError, match="unknown recipe 'simcl'; did you mean 'simclr'"):
        small("simcl").fit(DIGITS[:40])
    with pytest.raises(TwofoldError, match="unknown option 'widht'; did you mean 'width'"):
        small(options={"widht": 0.25}).fit(DIGITS[:40])


def test_nothing_is_transformed_before_it_is_fitted():
    with pytest.raises(NotFittedError):
        small().transform(DIGITS[:9])


def test_an_interrupted_fit_is_no_fit(interrupted_at):
    estimator = small(batch_size=8)
    with interrupted_at(2), pytest.raises(KeyboardInterrupt):
        estimator.fit(DIGITS[:40])
    with pytest.raises(NotFittedError):
        estimator.transform(DIGITS[:9])
