"""Which drawings show the same concept."""

from dataclasses import replace

import pytest

from twofold.simulation.emoji.concepts import is_variant, match_concepts
from twofold.simulation.emoji.packages import Drawing, IconSet, find_packages, read_package


def drawings(name, *described):
    """A set of drawings: each a name, other names, and a category."""
    made = tuple(Drawing(own, others, category, "") for own, others, category in described)
    return IconSet(name, "1.0.0", "MIT", "", made)


def matched(*sets):
    """The names of the drawings of each concept, by concept and set."""
    return {
        concept.name: {artist: drawing.name for artist, drawing in concept.drawings.items()}
        for concept in match_concepts(sets)
    }


def test_names_other_names_and_code_points_lead_to_a_concept(three_sets):
    sets = [read_package(path) for path in find_packages(three_sets)]
    assert matched(*sets) == {
        "heart": {"noto": "heart", "openmoji": "heavy-heart", "toy": "heart"},
        "star": {"noto": "star", "openmoji": "sun"},
    }
    assert [concept.category for concept in match_concepts(sets)] == ["Symbols", "Nature"]


def test_of_two_drawings_the_one_of_that_name_is_taken():
    first = drawings("a", ("pistol", ("gun",), "Objects"))
    for names in (("gun", "pistol"), ("pistol", "gun")):
        other = drawings("b", *((name, (), "") for name in names))
        assert matched(first, other) == {"pistol": {"a": "pistol", "b": "pistol"}}


def test_a_name_of_its_own_leads_further_than_an_alias():
    """`up` is an alias of another concept in the first set, and yet a concept of its own."""
    first = drawings("a", ("ahead", ("up",), "Symbols"), ("up", (), "Symbols"))
    other = drawings("b", ("up", (), ""), ("ahead", (), ""))
    assert matched(first, other) == {
        "ahead": {"a": "ahead", "b": "ahead"},
        "up": {"a": "up", "b": "up"},
    }


def test_what_the_first_set_does_not_sort_is_no_concept():
    first = drawings("a", ("heart", (), ""), ("star", (), "Nature"))
    assert set(matched(first, replace(first, name="b"))) == {"star"}


@pytest.mark.parametrize(
    "name",
    [
        "thumbs-up-medium-dark-skin-tone",
        "woman-in-lotus-position",
        "couple-with-heart-man-man",
        "family-adult-child",
        "deaf-man",
        "person-running-facing-right",
    ],
)
def test_variants(name):
    assert is_variant(name)
    twice = [drawings(artist, (name, (), "People")) for artist in "ab"]
    assert not match_concepts(twice)


@pytest.mark.parametrize(
    "name", ["mans-shoe", "woman", "family", "flag-isle-of-man", "flag-for-isle-of-man", "merman"]
)
def test_what_is_no_variant(name):
    assert not is_variant(name)
