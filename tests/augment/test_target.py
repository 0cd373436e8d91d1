"""Targets: what there is to predict and the loss of chance, against closed forms."""

import math
import subprocess
import sys

import numpy as np
import pytest

from twofold.augment import IMAGE, Views
from twofold.augment.spatial import Affine, Flip, ResizedCrop, Rotate, RotateFree
from twofold.augment.target import measure
from twofold.augment.textural import Blur
from twofold.augment.tonal import Brightness, Hue
from twofold.errors import TwofoldError


def views_of(augmentation, **settings):
    settings = {"channels": 3, "size": 16} | settings
    return Views({"it": augmentation}, {"it": "both"}, **settings)


def target_of(augmentation, **settings):
    return views_of(augmentation, **settings).target("it")


def entropy(*shares):
    return -sum(share * math.log(share) for share in shares)


def test_measuring_loads_no_torch():
    program = """
import sys
import numpy as np
from twofold.augment.target import measure
from twofold.augment.table import IMAGE
from twofold.augment.tonal import Hue
from twofold.augment.spatial import Affine
applied = np.array([True, False])
for name, kind, drawn in [
    ("flip", IMAGE["flip"], {}),
    ("rotate", IMAGE["rotate"], {"turns": np.array([3.0, 0.0])}),
    ("hue", Hue(strength=0.5), {"shift": np.array([0.2, 0.0])}),
    ("affine", Affine(), {**dict.fromkeys(("right", "down", "shear"), np.array([0.1, 0.0])),
                          "scale": np.array([1.1, 1.0])}),
    ("crop", IMAGE["crop"], dict.fromkeys(IMAGE["crop"].neutral, np.array([0.5, 1.0]))),
]:
    drawn = {"applied": applied, **drawn}
    measure(name, kind, drawn).values(drawn)
sys.exit("torch" if "torch" in sys.modules else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_quarter_turns_are_as_hard_as_a_die_of_four():
    target = target_of(Rotate())
    assert (target.kind, target.num_classes, target.num_outputs) == ("classes", 4, 4)
    assert target.names == target.mean == target.std == ()
    assert target.frequencies == pytest.approx([0.25] * 4, abs=0.015)
    assert sum(target.frequencies) == pytest.approx(1)
    assert target.chance == pytest.approx(math.log(4), abs=1e-3)
    seldom = target_of(Rotate(probability=0.4))
    assert seldom.applied == pytest.approx(0.4, abs=0.015)
    assert seldom.frequencies == pytest.approx([0.7, 0.1, 0.1, 0.1], abs=0.015)
    assert seldom.chance == pytest.approx(entropy(0.7, 0.1, 0.1, 0.1), abs=0.03)


@pytest.mark.parametrize("probability", [0.5, 0.1])
def test_whether_it_was_applied_has_the_entropy_of_a_coin(probability):
    target = target_of(Flip(probability=probability))
    assert (target.kind, target.num_outputs, target.frequencies) == ("binary", 1, ())
    assert target.applied == pytest.approx(probability, abs=0.015)
    assert target.chance == entropy(target.applied, 1 - target.applied)
    assert target.chance == pytest.approx(entropy(probability, 1 - probability), abs=0.03)


def test_continuous_quantities_have_the_deviation_of_their_distribution():
    for probability in (1.0, 0.3):
        angle = target_of(RotateFree(degrees=30, probability=probability))
        assert angle.names == ("angle",)
        assert angle.mean == pytest.approx([0], abs=0.5)
        assert angle.std == pytest.approx([30 * math.sqrt(probability / 3)], rel=0.03)
        assert angle.applied == pytest.approx(probability, abs=0.015)
        assert angle.chance == 1.0
    factor = target_of(Brightness(strength=0.4, probability=0.8))
    assert factor.mean == pytest.approx([1], abs=0.01)
    assert factor.std == pytest.approx([0.4 * math.sqrt(0.8 / 3)], rel=0.02)
    circle = target_of(RotateFree(degrees=180, probability=1.0))
    assert circle.names == ("sine", "cosine")
    assert circle.num_outputs == 2
    assert circle.mean == pytest.approx([0, 0], abs=0.02)
    assert circle.std == pytest.approx([math.sqrt(0.5)] * 2, rel=0.02)
    zoom = target_of(Affine(probability=1.0, scale=(0.5, 2.0)))
    assert zoom.names == ("right", "down", "scale", "shear")
    assert zoom.std[2] == pytest.approx(math.log(4) / math.sqrt(12), rel=0.02)


@pytest.mark.parametrize("name", IMAGE)
def test_values_are_what_was_drawn_standardised(name):
    augmentation = IMAGE[name]
    kind = type(augmentation)(**({"probability": 0.5} if augmentation.target == "binary" else {}))
    views = Views({name: kind}, {name: "both"}, channels=3, size=8)
    target = views.target(name)
    drawn = views.draw(np.arange(2**14), 0, 0)[name]
    values = target.values(drawn)
    if target.kind == "binary":
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, drawn["applied"])
    elif target.kind == "classes":
        assert values.dtype == np.int64
        np.testing.assert_array_equal(values, drawn["turns"])
    else:
        assert values.dtype == np.float32
        assert values.shape == (2**14, target.num_outputs)
        np.testing.assert_allclose(values.mean(axis=0, dtype=float), 0, atol=1e-4)
        np.testing.assert_allclose((values.astype(float) ** 2).mean(axis=0), target.chance, 1e-4)


def test_the_view_counts_and_the_data_does_not():
    chances = {"it": (0.9, 0.1)}
    views = views_of(Flip(), asymmetry=chances)
    assert views.target("it") == views.target("it", views=(0,))
    assert [views.target("it", views=(view,)).applied for view in range(2)] == pytest.approx(
        [0.9, 0.1], abs=0.015
    )
    more = views_of(Flip(), asymmetry={"it": (0.9, 0.1, 0.5)}, num_views=3)
    assert more.target("it") == views.target("it")
    beside = Views(
        {"it": Flip(), **IMAGE},
        {"it": "both", "crop": "both", "hue": "sensitive"},
        channels=3,
        size=9,
        asymmetry=chances,
        small_views=0,
    )
    assert beside.target("it") == views.target("it")


def test_a_subset_is_applied_as_often_as_its_size_says():
    views = Views(
        IMAGE, dict.fromkeys(("flip", "hue", "blur"), "both"), channels=3, size=8, select="subset"
    )
    for name in ("flip", "hue", "blur"):
        assert views.target(name).applied == pytest.approx(2 / 3, abs=0.015)


def test_a_quantity_that_never_varies_is_left_out():
    assert target_of(ResizedCrop(scale=(0.25, 0.25), ratio=(1.0, 1.0))).names == (
        "centre_x",
        "centre_y",
    )
    assert target_of(Affine(translate=0.0)).names == ("scale", "shear")
    assert target_of(Affine(scale=(1.0, 1.0), shear=0.0)).num_outputs == 2
    target = target_of(Affine(translate=0.0, shear=0.0))
    drawn = views_of(Affine(translate=0.0, shear=0.0)).draw(np.arange(9), 1, 0)["it"]
    expected = (np.log(drawn["scale"]) - target.mean[0]) / target.std[0]
    np.testing.assert_allclose(target.values(drawn)[:, 0], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("augmentation", "does"),
    [
        (Brightness(strength=0.0), "never changes anything"),
        (Hue(strength=0.5, probability=0.0), "never changes anything"),
        (Flip(probability=0.0), "never changes anything"),
        (Rotate(probability=0.0), "never changes anything"),
        (ResizedCrop(scale=(1.0, 1.0)), "never changes anything"),
        (Flip(probability=1.0), "changes every sample alike"),
        (Blur(sigma=(1.0, 1.0), probability=1.0), "changes every sample alike"),
        (
            Affine(translate=0.0, scale=(2.0, 2.0), shear=0.0, probability=1.0),
            "changes every sample alike",
        ),
    ],
)
def test_what_never_varies_cannot_be_predicted(augmentation, does):
    with pytest.raises(TwofoldError, match=f"it {does}, so nothing can be predicted") as error:
        target_of(augmentation)
    assert "\n" not in str(error.value)


def test_names_not_drawn_are_told_with_the_nearest():
    views = Views(IMAGE, {"rotate": "both", "hue": "off"}, channels=3, size=8)
    with pytest.raises(TwofoldError, match="unknown drawn augmentation 'rotat'; did you mean 'rot"):
        views.target("rotat")
    with pytest.raises(TwofoldError, match="unknown drawn augmentation 'hue'"):
        views.target("hue")


def test_a_target_is_measured_from_the_draws_alone():
    drawn = {"applied": np.array([True, False, True, True]), "turns": np.array([1.0, 0, 3, 0])}
    target = measure("rotate", Rotate(), drawn)
    assert target.frequencies == (0.5, 0.25, 0.0, 0.25)
    assert target.applied == 0.75
    assert target.chance == pytest.approx(1.5 * math.log(2))


BINARY = Flip(probability=0.3)
MANY = np.arange(2**14)


@pytest.mark.parametrize("kind", [Rotate(probability=0.6), BINARY, Affine(), RotateFree()])
def test_how_draws_differ_is_distributed_as_it_says(kind):
    views = views_of(kind)
    target = views.target("it").as_difference()
    first, second = (views.draw(MANY, 1, view)["it"] for view in range(2))
    values = target.between(first, second)
    if target.kind == "classes":
        assert values.dtype == np.int64
        turned = (first["turns"] - second["turns"]) % 4
        np.testing.assert_array_equal(values, turned)
        shares = np.bincount(values, minlength=4) / len(values)
        assert target.frequencies == pytest.approx(shares, abs=0.02)
        assert target.chance == pytest.approx(entropy(*shares), abs=0.02)
    elif target.kind == "binary":
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, first["applied"] ^ second["applied"])
        assert target.applied == pytest.approx(0.42, abs=0.015)  # 2 · 0.3 · 0.7
        assert target.chance == entropy(target.applied, 1 - target.applied)
    else:
        difference = target.values(first) - target.values(second)
        np.testing.assert_allclose(values, difference / math.sqrt(2), rtol=1e-5, atol=1e-6)
        assert (values**2).mean(axis=0) == pytest.approx(target.chance, abs=0.04)


def test_a_view_does_not_differ_from_itself():
    for kind in (Rotate(), BINARY, Affine()):
        views = views_of(kind)
        drawn = views.draw(np.arange(50), 0, 0)["it"]
        assert not views.target("it").between(drawn, drawn).any()


@pytest.mark.parametrize("kind", [Rotate(probability=0.6), BINARY, RotateFree(probability=0.2)])
def test_whether_it_was_applied_is_a_target_of_any_kind(kind):
    views = views_of(kind)
    target, whole = views.target("it").as_applied(), views.target("it")
    drawn = views.draw(np.arange(500), 0, 0)["it"]
    np.testing.assert_array_equal(target.values(drawn), drawn["applied"])
    assert (target.kind, target.num_outputs, target.applied) == ("binary", 1, whole.applied)
    assert target.chance == entropy(whole.applied, 1 - whole.applied)
    assert (target.names, target.mean, target.std, target.frequencies) == ((), (), (), ())
    both = target.as_difference()
    assert both.applied == pytest.approx(2 * whole.applied * (1 - whole.applied))


def test_columns_are_what_a_linear_probe_would_have_to_find():
    views = views_of(Rotate())
    drawn = views.draw(np.arange(50), 0, 0)["it"]
    columns = views.target("it").columns(drawn)
    assert columns.dtype == np.float32
    np.testing.assert_array_equal(columns, drawn["turns"][:, None] == np.arange(4))
    views = views_of(BINARY)
    drawn = views.draw(np.arange(50), 0, 0)["it"]
    np.testing.assert_array_equal(views.target("it").columns(drawn), drawn["applied"][:, None])
    views = views_of(Affine())
    target, drawn = views.target("it"), views.draw(np.arange(50), 0, 0)["it"]
    values = target.values(drawn)
    assert target.columns(drawn).shape == (50, 2 * target.num_outputs)
    np.testing.assert_allclose(target.columns(drawn), np.hstack([values, values**2]))
