"""Repeated views, small views and subsets: what differs between views, and what must not."""

import numpy as np
import pytest
import torch

from twofold.augment import IMAGE, Views
from twofold.errors import TwofoldError

JITTERED = ("crop", "flip", "brightness", "contrast", "saturation", "hue", "grayscale")
EVERYTHING = dict.fromkeys(IMAGE, "both")
IMAGES = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_a_view_that_repeats_everything_is_the_first_bit_for_bit():
    repeats = dict.fromkeys(IMAGE, (2,))
    views = Views(IMAGE, EVERYTHING, channels=3, size=16, num_views=3, repeats=repeats)
    (first, second, third), draws = views(IMAGES, np.arange(40), 1)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)
    np.testing.assert_equal(draws[0], draws[2])


def test_what_repeats_is_drawn_as_in_the_first_view_and_nothing_else_changes():
    settings = {"channels": 3, "size": 8, "num_views": 3}
    chances = {"rotate": (0.9, 0.5, 0.1)}
    plain = Views(IMAGE, EVERYTHING, **settings, asymmetry=chances)
    repeats = {"rotate": (2,), "brightness": (1,)}
    views = Views(IMAGE, EVERYTHING, **settings, asymmetry=chances, repeats=repeats)
    for view in range(3):
        before, after = (some.draw(np.arange(300), 0, view) for some in (plain, views))
        for name in IMAGE:
            source = 0 if view in repeats.get(name, ()) else view
            expected = before if source == view else plain.draw(np.arange(300), 0, source)
            np.testing.assert_equal({name: after[name]}, {name: expected[name]})
    decided = [views.draw(np.arange(300), 0, 1)[name]["applied"] for name in ("brightness", "hue")]
    assert (decided[0] != decided[1]).any()  # the others of the group decide anew


def test_repeating_in_every_view_is_being_sensitive():
    everywhere = Views(
        IMAGE, EVERYTHING, channels=3, size=8, num_views=3, repeats=dict.fromkeys(IMAGE, (1, 2))
    )
    sensitive = Views(IMAGE, dict.fromkeys(IMAGE, "sensitive"), channels=3, size=8, num_views=3)
    for view in range(3):
        np.testing.assert_equal(
            everywhere.draw(np.arange(99), 0, view), sensitive.draw(np.arange(99), 0, view)
        )


def test_small_views_follow_the_full_ones_and_leave_them_as_they_are():
    settings = {"channels": 3, "size": 18, "seed": 5}
    plain = Views(IMAGE, EVERYTHING, **settings)
    views = Views(IMAGE, EVERYTHING, **settings, small_views=3, small_size=2 / 3)
    images, index = IMAGES[:25], np.arange(25)
    (first, second), draws = plain(images, index, 2)
    found, drawn = views(images, index, 2)
    assert [view.shape[-2:] for view in found] == [(18, 18)] * 2 + [(12, 12)] * 3
    assert torch.equal(found[0], first)
    assert torch.equal(found[1], second)
    assert len(drawn) == 5
    for view, which in enumerate(drawn):
        np.testing.assert_equal(which, (draws[view] if view < 2 else views.draw(index, 2, view)))
        alone = views.render(images, which, size=found[view].shape[-1])
        assert torch.equal(found[view], alone)
    assert views.num_values(18) == sum(view[0].numel() for view in found)
    early = views(images, index, 2, size=9)[0]
    assert [view.shape[-1] for view in early] == [9, 9, 8, 8, 8]
    assert views.num_values(9) == sum(view[0].numel() for view in early)
    assert len(views.describe(drawn[4], 0)) == sum(one["applied"][0] for one in drawn[4].values())


def test_small_views_of_an_empty_batch_are_empty():
    views = Views(IMAGE, EVERYTHING, channels=3, size=20, small_views=2)
    shapes = [tuple(view.shape) for view in views(IMAGES[:0], np.arange(0), 0)[0]]
    assert shapes == [(0, 3, 20, 20)] * 2 + [(0, 3, 10, 10)] * 2


@pytest.mark.parametrize("word", ["both", "sensitive"])
def test_four_small_views_show_each_item_in_each_of_its_turns(word):
    images = IMAGES[:30]
    views = Views(IMAGE, {"rotate": word}, channels=3, size=16, small_views=4, small_size=1.0)
    found, drawn = views(images, np.arange(30), 0)
    turns = np.array([draws["rotate"]["turns"] for draws in drawn])
    np.testing.assert_array_equal(turns[2:], (turns[2] + np.arange(4)[:, None]) % 4)
    assert (np.sort(turns[2:], axis=0) == np.arange(4)[:, None]).all()
    assert len(np.unique(turns[2])) == 4
    for view, turned in zip(found, turns, strict=True):
        for i, image in enumerate(images):
            torch.testing.assert_close(view[i], torch.rot90(image, int(turned[i]), (1, 2)))


def test_classes_step_through_the_small_views_where_they_are_applied():
    settings = {"channels": 3, "size": 16, "small_views": 3}
    chances = {"rotate": (0.0, 0.5, 0.5, 0.5, 1.0)}
    views = Views(IMAGE, {"rotate": "both"}, **settings, asymmetry=chances)
    drawn = [views.draw(np.arange(2000), 0, view)["rotate"] for view in range(5)]
    for view, share in enumerate(chances["rotate"]):
        assert drawn[view]["applied"].mean() == pytest.approx(share, abs=0.04)
        assert (drawn[view]["turns"][~drawn[view]["applied"]] == 0).all()
    applied = drawn[2]["applied"]
    for step in range(3):
        expected = (drawn[2]["turns"] + step) % 4
        np.testing.assert_array_equal(drawn[2 + step]["turns"][applied], expected[applied])


def test_a_small_view_that_repeats_the_first_view_does_not_step():
    settings = {"channels": 3, "size": 16, "small_views": 4}
    views = Views(IMAGE, {"rotate": "both"}, **settings, repeats={"rotate": (3,)})
    turns = [views.draw(np.arange(99), 0, view)["rotate"]["turns"] for view in range(6)]
    np.testing.assert_array_equal(turns[3], turns[0])
    np.testing.assert_array_equal(turns[4], (turns[2] + 2) % 4)
    views = Views(IMAGE, {"rotate": "both"}, **settings, repeats={"rotate": (2,)})
    for step in range(4):
        stepped = views.draw(np.arange(99), 0, 2 + step)["rotate"]["turns"]
        np.testing.assert_array_equal(stepped, (turns[0] + step) % 4)


def test_a_subset_is_applied_in_all_views_with_parameters_of_their_own():
    prescription = dict.fromkeys(JITTERED, "both") | {"hue": "sensitive"}
    each = Views(IMAGE, prescription, channels=3, size=8, num_views=3)
    views = Views(IMAGE, prescription, channels=3, size=8, num_views=3, select="subset")
    n = 14_000
    drawn = [views.draw(np.arange(n), 0, view) for view in range(3)]
    applied = np.array([[draws[name]["applied"] for name in JITTERED] for draws in drawn])
    assert (applied == applied[0]).all()
    sizes = np.bincount(applied[0].sum(axis=0), minlength=8)
    assert sizes[0] == 0
    assert sizes[1:] == pytest.approx(n / 7, rel=0.1)
    assert applied[0].mean(axis=1) == pytest.approx(4 / 7, abs=0.02)
    assert len(np.unique(applied[0], axis=1).T) == 2**7 - 1  # the jitter's members one by one
    both = applied[0][JITTERED.index("brightness")]
    factors = [draws["brightness"]["factor"][both] for draws in drawn]
    assert (factors[0] != factors[1]).mean() > 0.99
    np.testing.assert_equal({"hue": drawn[0]["hue"]}, {"hue": drawn[2]["hue"]})
    for view, draws in enumerate(drawn):
        usual = each.draw(np.arange(n), 0, view)["brightness"]
        some = usual["applied"] & draws["brightness"]["applied"]
        for key in ("factor", "order"):
            np.testing.assert_array_equal(usual[key][some], draws["brightness"][key][some])


def test_a_subset_is_the_same_in_any_batch_and_of_nothing_is_nothing():
    views = Views(IMAGE, EVERYTHING, channels=3, size=12, select="subset", small_views=2)
    images = IMAGES[:20]
    together, draws = views(images, np.arange(20), 0)
    alone, drawn = views(images[7:8], np.arange(7, 8), 0)
    for view in range(4):
        assert torch.equal(alone[view], together[view][7:8])
        np.testing.assert_equal(
            drawn[view], {n: {k: v[7:8] for k, v in d.items()} for n, d in draws[view].items()}
        )
    none = Views(IMAGE, {}, channels=3, size=16, select="subset")
    assert torch.equal(none(images, np.arange(20), 0)[0][0], images)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"repeats": {"blur": (2,)}}, r"repeats of blur is \(2,\); it must name views in \[1, 2\)"),
        ({"small_views": -2}, "small_views is -2"),
        ({"small_views": 1, "asymmetry": {"blur": (1.0, 0.1)}}, "it must be 3 numbers in"),
        ({"select": "all"}, "unknown way to select 'all'"),
        ({"select": "subset", "asymmetry": {"blur": (1.0, 0.1)}}, "leave one of them out"),
    ],
)
def test_views_that_make_no_sense_are_refused(settings, words):
    with pytest.raises(TwofoldError, match=words):
        Views(IMAGE, {"blur": "invariant"}, channels=3, size=8, **settings)
