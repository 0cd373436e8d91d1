"""Views: pure functions of seed, epoch, index and view, whatever the batch."""

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from twofold.augment import IMAGE, WORDS, Views
from twofold.errors import TwofoldError

SIMCLR = dict.fromkeys(
    ("crop", "flip", "brightness", "contrast", "saturation", "hue", "grayscale"), "invariant"
)
EVERYTHING = dict.fromkeys(IMAGE, "both")


def images_of(n, channels=3, size=16):
    rng = np.random.default_rng(n * channels + size)
    return torch.from_numpy(rng.random((n, channels, size, size), dtype=np.float32))


def same(first, second):
    for name, drawn in first.items():
        for key, value in drawn.items():
            np.testing.assert_array_equal(value, second[name][key], err_msg=f"{name} {key}")


@pytest.mark.parametrize("prescription", [SIMCLR, EVERYTHING], ids=["simclr", "everything"])
@pytest.mark.parametrize(
    ("channels", "source", "size"),
    [(3, 16, 16), (3, 23, 9), (1, 28, 28), (5, 12, 12), (3, 41, 37), (1, 35, 67), (1, 150, 9)],
)
def test_a_view_is_the_same_in_any_batch(prescription, channels, source, size):
    images, index = images_of(47, channels, source), np.arange(47) * 31
    views = Views(IMAGE, prescription, channels=channels, size=size, seed=3)
    together, draws = views(images, index, 5)
    for parts in (1, 2, 3, 7, 46):
        for start in range(0, 47, parts):
            some = slice(start, start + parts)
            alone, drawn = views(images[some], index[some], 5)
            for view in range(2):
                assert torch.equal(alone[view], together[view][some])
                same(
                    drawn[view],
                    {n: {k: v[some] for k, v in d.items()} for n, d in draws[view].items()},
                )


def test_a_view_does_not_depend_on_its_place_in_the_batch():
    images, index = images_of(80, size=13), np.arange(80)
    views = Views(IMAGE, EVERYTHING, channels=3, size=13)
    order = np.random.default_rng(0).permutation(80)
    together, shuffled = views(images, index, 0)[0][0], views(images[order], order, 0)[0][0]
    assert torch.equal(shuffled, together[order])


def test_chunks_do_not_show(monkeypatch):
    images, index = images_of(70), np.arange(70)
    views = Views(IMAGE, EVERYTHING, channels=3, size=16)
    whole = views(images, index, 0)[0][0]
    monkeypatch.setattr("twofold.augment.rendering.CHUNK_VALUES", 1)
    monkeypatch.setattr("twofold.augment.rendering.CHUNK_SMALLEST", 11)
    assert torch.equal(views(images, index, 0)[0][0], whole)


def test_epochs_views_seeds_and_samples_differ():
    images = images_of(1).expand(4, -1, -1, -1)
    views = Views(IMAGE, SIMCLR, channels=3, size=16)
    other = Views(IMAGE, SIMCLR, channels=3, size=16, seed=1)
    (first, second), _ = views(images, np.arange(4), 0)
    rows = [*first, *second, *views(images, np.arange(4), 1)[0][0]]
    rows += [*other(images, np.arange(4), 0)[0][0]]
    assert all(not torch.equal(a, b) for i, a in enumerate(rows) for b in rows[:i])


def test_the_input_is_left_alone():
    images = images_of(20)
    before = images.clone()
    Views(IMAGE, EVERYTHING, channels=3, size=16)(images, np.arange(20), 0)
    assert torch.equal(images, before)


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_views_stay_in_range_and_have_the_asked_size(channels):
    images = images_of(64, channels, 20).round()
    images[::4] = 1
    views = Views(IMAGE, EVERYTHING, channels=channels, size=20)
    for size in (20, 11, 33):
        for view in views(images, np.arange(64), 0, size=size)[0]:
            assert view.shape == (64, channels, size, size)
            assert view.min() >= 0
            assert view.max() <= 1
            assert view.dtype == torch.float32


def test_draws_do_not_depend_on_the_size():
    views = Views(IMAGE, EVERYTHING, channels=3, size=20)
    large, small = (views(images_of(9), np.arange(9), 2, size=size)[1] for size in (20, 12))
    same(large[0], small[0])


@pytest.mark.parametrize("name", IMAGE)
def test_what_is_not_applied_is_recorded_neutral_and_changes_nothing(name):
    never = {name: type(IMAGE[name])(probability=0.0)}
    views = Views(never, {name: "invariant"}, channels=3, size=15)
    images = images_of(6, size=15)
    (first, _), (drawn, _) = views(images, np.arange(6), 0)
    assert torch.equal(first, images)
    assert not drawn[name]["applied"].any()
    for parameter, value in never[name].neutral.items():
        assert (drawn[name][parameter] == value).all()
    assert views.describe(drawn, 0) == []


@pytest.mark.parametrize("name", IMAGE)
def test_what_is_applied_is_applied_to_its_samples_alone(name):
    half = {name: type(IMAGE[name])(probability=0.5)}
    views = Views(half, {name: "invariant"}, channels=3, size=32)
    images = images_of(64, size=32)
    (first, _), (drawn, _) = views(images, np.arange(64), 0)
    changed = (first != images).flatten(1).any(dim=1).numpy()
    applied = drawn[name]["applied"]
    assert 15 < applied.sum() < 49
    assert not changed[~applied].any()
    assert changed[applied].mean() > 0.7  # of the quarter turns one in four is none
    assert len(views.describe(drawn, int(np.argmax(applied)))) == 1


def test_sensitive_draws_are_shared_by_the_views_and_others_are_not():
    prescription = SIMCLR | {"rotate": "sensitive", "hue": "sensitive", "blur": "blind"}
    views = Views(IMAGE, prescription, channels=3, size=8)
    first, second = (views.draw(np.arange(200), 0, view) for view in range(2))
    for name in ("rotate", "hue"):
        same({name: first[name]}, {name: second[name]})
    for name in ("crop", "flip", "brightness", "grayscale", "blur"):
        key = next(iter(IMAGE[name].neutral), "applied")
        assert (first[name][key] != second[name][key]).mean() > 0.2


def test_words_that_draw_alike_draw_the_same_numbers():
    draws = [
        Views(IMAGE, dict.fromkeys(SIMCLR, word), channels=3, size=8).draw(np.arange(9), 0, 1)
        for word in ("invariant", "blind", "both")
    ]
    same(draws[0], draws[1])
    same(draws[0], draws[2])


def test_views_differ_where_their_probabilities_do():
    names, chances = ("blur", "solarize", "flip"), {"blur": (1.0, 0.1), "solarize": (0.0, 0.2)}
    prescription = dict.fromkeys(names, "invariant")
    views = Views(IMAGE, prescription, channels=3, size=8, asymmetry=chances)
    drawn = [views.draw(np.arange(4000), 0, view) for view in range(2)]
    for name, expected in (chances | {"flip": (0.5, 0.5)}).items():
        share = [view[name]["applied"].mean() for view in drawn]
        assert share == pytest.approx(expected, abs=0.03), name
    both = views.draw(np.tile(np.arange(4000), 2), 0, np.repeat([0, 1], 4000))
    for view, alone in enumerate(drawn):
        part = slice(4000 * view, 4000 * (view + 1))
        same(alone, {n: {k: v[part] for k, v in d.items()} for n, d in both.items()})


def test_a_shared_draw_has_the_probability_of_the_first_view():
    sensitive = {"blur": "sensitive"}
    views = Views(IMAGE, sensitive, channels=3, size=8, asymmetry={"blur": (1.0, 0.1)})
    assert views.draw(np.arange(50), 0, 1)["blur"]["applied"].all()


@pytest.mark.parametrize(
    ("asymmetry", "words"),
    [
        ({"blurr": (1.0, 0.1)}, "unknown augmentation 'blurr'; did you mean 'blur'"),
        ({"blur": (1.0,)}, r"asymmetry of blur is \(1.0,\); it must be 2 numbers in \[0, 1\]"),
        ({"blur": (1.5, 0.0)}, "2 numbers in"),
    ],
)
def test_asymmetry_that_makes_no_sense_is_refused(asymmetry, words):
    with pytest.raises(TwofoldError, match=words):
        Views(IMAGE, {"blur": "invariant"}, channels=3, size=8, asymmetry=asymmetry)


def test_off_and_unnamed_are_never_drawn():
    views = Views(IMAGE, {"crop": "invariant", "flip": "off"}, channels=3, size=8)
    assert list(views.draw(np.arange(3), 0, 0)) == ["crop"]
    assert Views(IMAGE, dict.fromkeys(IMAGE, "off"), channels=3, size=8).draw([0], 0, 0) == {}


def test_switching_one_augmentation_off_leaves_the_others_draws():
    views = Views(IMAGE, SIMCLR, channels=3, size=8)
    fewer = Views(IMAGE, SIMCLR | {"flip": "off"}, channels=3, size=8)
    same(fewer.draw(np.arange(9), 0, 0), views.draw(np.arange(9), 0, 0))


def test_the_jitter_is_applied_as_one_in_every_order():
    names = ("brightness", "contrast", "saturation", "hue")
    views = Views(IMAGE, dict.fromkeys(names, "invariant"), channels=3, size=8)
    drawn = views.draw(np.arange(4800), 0, 0)
    for name in names:
        np.testing.assert_array_equal(drawn[name]["applied"], drawn["hue"]["applied"])
    assert drawn["hue"]["applied"].mean() == pytest.approx(0.8, abs=0.02)
    order = np.argsort([drawn[name]["order"] for name in names], axis=0)
    _, counts = np.unique(order, axis=1, return_counts=True)
    assert len(counts) == 24
    assert counts.min() > 140
    assert counts.max() < 260


def test_the_whole_simclr_view_equals_torchvisions_operations_in_the_drawn_order():
    images, index = images_of(30, size=24), np.arange(30)
    views = Views(IMAGE, SIMCLR, channels=3, size=16, seed=9)
    (first, _), (drawn, _) = views(images, index, 0)
    boxes = IMAGE["crop"].box(drawn["crop"], 24, 24)
    jitter = {"brightness": "factor", "contrast": "factor", "saturation": "factor", "hue": "shift"}
    for i, image in enumerate(images):
        view = reference.resized_crop(image, *boxes[i].tolist(), [16, 16], antialias=True)
        if drawn["flip"]["applied"][i]:
            view = view.flip(2)
        if drawn["hue"]["applied"][i]:
            for name in sorted(jitter, key=lambda name: drawn[name]["order"][i]):
                adjust = getattr(reference, f"adjust_{name}")
                view = adjust(view, float(drawn[name][jitter[name]][i]))
        if drawn["grayscale"]["applied"][i]:
            view = reference.rgb_to_grayscale(view, num_output_channels=3)
        torch.testing.assert_close(first[i], view, atol=1e-5, rtol=0)


def test_members_of_the_jitter_with_probabilities_of_their_own_keep_their_turns():
    shares = {"brightness": 0.9, "contrast": 0.2, "saturation": 0.6, "hue": 0.4}
    members = {name: type(IMAGE[name])(probability=share) for name, share in shares.items()}
    views = Views(members, dict.fromkeys(members, "invariant"), channels=3, size=16)
    images = images_of(60)
    (first, _), (drawn, _) = views(images, np.arange(60), 0)
    for i, image in enumerate(images):
        view = image
        for name in sorted(members, key=lambda name: drawn[name]["order"][i]):
            if drawn[name]["applied"][i]:
                amount = drawn[name]["shift" if name == "hue" else "factor"][i]
                view = getattr(reference, f"adjust_{name}")(view, float(amount))
        torch.testing.assert_close(first[i], view, atol=1e-5, rtol=0)
    assert len({sum(drawn[name]["applied"][i] for name in members) for i in range(60)}) == 5


def test_one_channel_draws_no_colour_and_others_draw_per_channel():
    gray = Views(IMAGE, SIMCLR, channels=1, size=8).draw(np.arange(5), 0, 0)
    assert list(gray) == ["crop", "flip", "brightness", "contrast"]
    five = Views(IMAGE, SIMCLR, channels=5, size=8).draw(np.arange(5), 0, 0)
    assert list(five) == list(SIMCLR)
    assert [key for key in five["hue"] if key.startswith("offset")] == [
        f"offset_{channel}" for channel in range(5)
    ]


def test_autocast_and_autograd_around_it_change_nothing():
    images, index = images_of(40), np.arange(40)
    views = Views(IMAGE, EVERYTHING, channels=3, size=16)
    plain = views(images, index, 0)[0][0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = views(images.requires_grad_(), index, 0)[0][0]
    assert torch.equal(around, plain)
    assert not around.requires_grad


def test_an_empty_batch_gives_empty_views():
    (first, second), _ = Views(IMAGE, EVERYTHING, channels=3, size=8)(images_of(0), np.arange(0), 0)
    assert first.shape == second.shape == (0, 3, 8, 8)


def test_mistakes_are_told_in_one_line():
    with pytest.raises(TwofoldError, match="did you mean 'grayscale'"):
        Views(IMAGE, {"greyscale": "invariant"}, channels=3, size=8)
    with pytest.raises(TwofoldError, match="known: " + ", ".join(WORDS)):
        Views(IMAGE, {"crop": "maybe"}, channels=3, size=8)
    with pytest.raises(TwofoldError, match=r"images have shape \(2, 1, 16, 16\); these views read"):
        Views(IMAGE, SIMCLR, channels=3, size=8)(images_of(2, 1), np.arange(2), 0)
