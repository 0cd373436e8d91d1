"""Words become draws, objectives and refusals, whatever the recipe they are said to."""

import dataclasses

import numpy as np
import pytest

from twofold import TwofoldError
from twofold.assembly import build_views, for_channels
from twofold.config import Config, change, load_config
from twofold.domains import Source
from twofold.domains.image.domain import SIMCLR_SET
from twofold.objectives import LooC, Predict
from twofold.recipes import RECIPES

BASES = ("simclr", "byol", "simsiam", "barlow_twins", "vicreg", "sup_con", "info_nce")
PRESCRIBED = ("mt_slvr", "mt_simple", "mt_split", "mt_norm", "mt_series", "e_ssl", "e_ssl_cifar")
PRESCRIBED += ("aug_self", "loo_c")
ITEMS = np.zeros((4, 3, 16, 16), dtype=np.uint8)
SOURCE = Source(name="toy", items=ITEMS, ids=list("abcd"))


def said(name, **words):
    """The recipe with some words changed."""
    return change(Config(recipe=RECIPES[name]()), {"prescription": words}).recipe


def turns(recipe):
    """Quarter turns of the same hundred items in each view; none where they are not drawn."""
    views = build_views(recipe, SOURCE, seed=0)
    drawn = (views.draw(np.arange(100), 0, view) for view in range(recipe.all_views))
    return [draw["rotate"]["turns"] for draw in drawn if "rotate" in draw]


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize(
    ("word", "alike", "predicted"),
    [
        ("invariant", False, False),
        ("blind", False, False),
        ("sensitive", True, True),
        ("both", False, True),
        ("off", None, False),
    ],
)
def test_a_word_decides_what_is_drawn_and_learned(name, word, alike, predicted):
    recipe, base = said(name, rotate=word), RECIPES[name]()
    added = {"predict/rotate": Predict("rotate", views=(0, 1))} if predicted else {}
    assert recipe.learned == {**base.objectives, **added}
    drawn = turns(recipe)
    assert len(drawn) == (0 if word == "off" else 2)
    if alike is not None:
        assert np.array_equal(*drawn) == alike


@pytest.mark.parametrize("name", BASES)
def test_what_a_word_adds_weighs_as_much_as_it_is_told(name):
    recipe = said(name, rotate="both", flip="sensitive")
    (first,) = recipe.objectives
    assert recipe.loss_weights == {first: 1.0, "predict/flip": 0.4, "predict/rotate": 0.4}
    recipe = dataclasses.replace(recipe, word_weight=0.1, weights={"predict/flip": 3.0})
    assert recipe.loss_weights == {first: 1.0, "predict/flip": 3.0, "predict/rotate": 0.1}
    with pytest.raises(TwofoldError, match="unknown loss weight 'predict/hue'; did you mean"):
        dataclasses.replace(recipe, weights={"predict/hue": 1.0})


def test_one_view_can_be_told_to_keep_too():
    assert said("nce", rotate="both").learned["predict/rotate"].views == (0,)


def test_an_open_predictor_takes_what_is_kept_and_nobody_names():
    base = said("simclr", rotate="both", flip="sensitive", crop="both")
    named = {"turn": Predict("rotate", views=(0,)), "rest": Predict(hidden=(64,))}
    recipe = dataclasses.replace(base, objectives={**base.objectives, **named})
    assert list(recipe.learned) == ["contrast", "turn", "rest"]
    assert recipe.learned["rest"] == Predict(("crop", "flip"), hidden=(64,))
    assert recipe.learned["turn"] == named["turn"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: for_channels(said("simclr", hue="sensitive"), 1),
            "hue is prescribed 'sensitive', but it changes nothing in images of 1 channel; say",
        ),
        (
            lambda: for_channels(said("aug_self", grayscale="blind"), 1),
            "grayscale is prescribed 'blind', but it changes nothing in images of 1 channel",
        ),
        (
            lambda: said("nce", rotate="sensitive"),
            "rotate is prescribed 'sensitive', .* but nce makes one view; say 'both'",
        ),
        (
            lambda: said("loo_c", rotate="off"),
            "objective 'contrast' keeps rotate, which is prescribed 'off'; say 'sensitive' or",
        ),
        (
            lambda: said("e_ssl", rotate="invariant"),
            "objective 'predict' keeps rotate, which is prescribed 'invariant'",
        ),
        (
            lambda: said("aug_self", flip="sensitive"),
            "flip is prescribed 'sensitive', .* but objective 'place' recovers how they differ; s",
        ),
        (lambda: said("simclr", rotat="both"), "unknown augmentation 'rotat'; did you mean 'rot"),
        (lambda: said("simclr", rotate="keep"), "unknown word for rotate 'keep'"),
        (
            lambda: dataclasses.replace(
                RECIPES["simclr"](), objectives={"turn": Predict("rotate", views=(2,))}
            ),
            "num_views is 2 and small_views 0; objective 'turn' reads view 2, counted from 0",
        ),
    ],
)
def test_contradictions_are_refused_in_one_sentence(make, words):
    with pytest.raises(TwofoldError, match=words) as error:
        make()
    assert "\n" not in str(error.value)


COLOURED = {"saturation", "hue", "grayscale"}


@pytest.mark.parametrize("name", PRESCRIBED)
def test_what_gray_images_cannot_have_is_dropped_with_the_recipe_s_own_words(name):
    recipe = RECIPES[name]()
    gray = for_channels(recipe, 1)
    assert for_channels(recipe, 3) == recipe
    for augmentation, word in gray.prescription.items():
        kept = recipe.prescription[augmentation]
        dropped = augmentation in COLOURED and kept in {"both", "sensitive"}
        assert word == ("off" if dropped else kept)
    recovered = [o.recovers() for o in gray.learned.values()]
    assert not frozenset().union(*recovered) & COLOURED
    assert list(gray.learned) == list(recipe.learned)
    assert {o.recovers() - COLOURED for o in recipe.learned.values()} == set(recovered)


def test_an_objective_of_which_nothing_is_left_goes_with_its_weight():
    recipe = dataclasses.replace(
        RECIPES["simclr"](),
        prescription={**RECIPES["simclr"]().prescription, "hue": "both", "flip": "both"},
        objectives={
            **RECIPES["simclr"]().objectives,
            "hue": Predict("hue"),
            "more": Predict(("hue", "flip")),
        },
        weights={"hue": 2.0, "more": 3.0},
    )
    left = recipe.without({"hue"})
    assert left.loss_weights == {"contrast": 1.0, "more": 3.0}
    assert left.learned["more"].names == ("flip",)
    assert left.prescription["hue"] == "off"


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("name", [*BASES, *PRESCRIBED])
def test_a_recipe_comes_back_from_its_configuration(name, channels, tmp_path):
    keeps = {"vertical_flip": "both", "affine": "blind"}
    for recipe in (RECIPES[name](), said(name, **keeps)):
        whole = Config(recipe=for_channels(recipe, channels))
        whole.save(tmp_path / "config.yaml")
        again = load_config(tmp_path / "config.yaml")
        assert again == whole
        assert again.recipe.learned == whole.recipe.learned


def test_the_recipes_say_what_the_papers_keep():
    assert RECIPES["e_ssl"]().learned["predict"].names == ("rotate",)
    assert RECIPES["e_ssl"]().loss_weights == {"contrast": 1.0, "predict": 0.4}
    assert np.array_equal(*turns(RECIPES["e_ssl"]())[:2])  # never turned: 0 in the pair
    assert not turns(RECIPES["e_ssl"]())[0].any()
    four = np.sort(turns(RECIPES["e_ssl_cifar"]())[2:], axis=0)
    assert (four == np.arange(4)[:, None]).all()  # every turn of every item
    slvr = RECIPES["mt_slvr"]().learned["predict"]
    assert slvr.names == (*SIMCLR_SET, "solarize")
    assert slvr.applied
    assert slvr.route == "sensitive"
    assert isinstance(RECIPES["loo_c"]().learned["contrast"], LooC)
