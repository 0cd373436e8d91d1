"""The table: importable without torch, validated in one line, documented, honest about channels."""

import ast
import inspect
import itertools
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from twofold.augment.augmentation import Augmentation
from twofold.augment.spatial import Affine, ResizedCrop, RotateFree
from twofold.augment.table import (
    IMAGE,
    check,
    check_repeats,
    check_select,
    check_small_views,
    small_side,
    substitutions,
)
from twofold.augment.textural import Blur, Cutout, MotionBlur, Noise
from twofold.augment.tonal import Brightness, ChannelGain, ChannelMean, ChannelOffset, Hue, Solarize
from twofold.errors import TwofoldError

SUBSTITUTES = [ChannelGain(channels=5), ChannelOffset(channels=2), ChannelMean()]
EVERY = [*IMAGE.values(), *SUBSTITUTES]


def by_class(augmentation):
    return type(augmentation).__name__


def test_importing_the_table_loads_neither_torch_nor_numpy():
    program = """
        import sys
        from twofold.augment import table
        from twofold.augment import IMAGE, WORDS, substitutions
        substitutions(IMAGE, {"crop": "invariant", "hue": "both"}, 5)
        IMAGE["blur"].caption({"sigma": 1.0})
        sys.exit(", ".join({"torch", "numpy", "torchvision"} & set(sys.modules)) or 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_rendering_loads_no_torchvision():
    program = """
        import sys
        import numpy as np
        import torch
        from twofold.augment import IMAGE, Views
        views = Views(IMAGE, dict.fromkeys(IMAGE, "both"), channels=3, size=16)
        views(torch.rand(8, 3, 16, 16), np.arange(8), 0)
        sys.exit("torchvision" if "torchvision" in sys.modules else 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("augmentation", EVERY, ids=by_class)
def test_every_field_is_documented_for_the_command_line(augmentation):
    kind = type(augmentation)
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
    documented = {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    own = {name for name in kind.__annotations__ if "ClassVar" not in kind.__annotations__[name]}
    assert own <= set(documented)
    assert all("\n" not in documented[name] for name in own)


@pytest.mark.parametrize("augmentation", EVERY, ids=by_class)
def test_what_is_declared_is_what_is_drawn(augmentation):
    numbers = np.random.default_rng(0).random((100, augmentation.num_uniforms))
    drawn = augmentation.draw(numbers)
    assert set(drawn) == set(augmentation.neutral)
    assert set(augmentation.parameters) <= set(drawn)
    assert (augmentation.target == "binary") == (not augmentation.parameters)
    assert (augmentation.target == "classes") == (augmentation.num_classes > 0)
    assert all(value.shape == (100,) for value in drawn.values())
    caption = augmentation.caption({name: float(value[0]) for name, value in drawn.items()})
    assert caption
    assert "{" not in caption


@pytest.mark.parametrize("number", [0.0, 1 - 2**-32], ids=["lowest", "highest"])
def test_draws_span_what_the_settings_say(number):
    def drawn(augmentation):
        numbers = np.full((1, augmentation.num_uniforms), number)
        return {name: value[0] for name, value in augmentation.draw(numbers).items()}

    def either(low, high):
        return pytest.approx(high if number else low, abs=1e-6)

    assert drawn(Brightness(strength=0.3)) == {"factor": either(0.7, 1.3)}
    assert drawn(Brightness(strength=2.0)) == {"factor": either(0.0, 3.0)}
    assert drawn(Hue(strength=0.2)) == {"shift": either(-0.2, 0.2)}
    assert drawn(IMAGE["rotate"]) == {"turns": 3.0 if number else 0.0}
    assert drawn(RotateFree(degrees=15)) == {"angle": either(-15, 15)}
    assert drawn(Blur(sigma=(0.5, 1.5))) == {"sigma": either(0.5, 1.5)}
    affine = Affine(translate=0.2, scale=(0.5, 2.0), shear=5)
    assert drawn(affine)["right"] == either(-0.2, 0.2)
    assert drawn(affine)["scale"] == either(0.5, 2.0)
    assert drawn(affine)["shear"] == either(-5, 5)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (ResizedCrop, {"probability": 1.5}, "ResizedCrop.probability is 1.5; it must be a number"),
        (ResizedCrop, {"scale": (0.5, 0.2)}, "the smaller first"),
        (ResizedCrop, {"scale": (0.0, 1.0)}, "two numbers in"),
        (ResizedCrop, {"ratio": 1.0}, "two numbers in"),
        (Brightness, {"strength": -1}, "Brightness.strength is -1; it must be a number >= 0"),
        (Brightness, {"strength": math.nan}, "Brightness.strength is nan"),
        (Hue, {"strength": 0.6}, r"it must be a number in \[0, 0.5\]"),
        (Solarize, {"threshold": "half"}, "Solarize.threshold is 'half'"),
        (RotateFree, {"degrees": 200}, "RotateFree.degrees is 200"),
        (Affine, {"shear": 90}, "Affine.shear is 90"),
        (Blur, {"sigma": (0.0, 1.0)}, "Blur.sigma is"),
        (MotionBlur, {"length": (3.0, 900.0)}, "MotionBlur.length is"),
        (Noise, {"sigma": (0.0, 1.0, 2.0)}, "Noise.sigma is"),
        (Cutout, {"side": 2.0}, "Cutout.side is 2.0"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(kind, settings, message):
    with pytest.raises(TwofoldError, match=message) as error:
        kind(**settings)
    assert "\n" not in str(error.value)


def test_unknown_names_and_words_suggest_the_nearest():
    with pytest.raises(TwofoldError, match="unknown augmentation 'rotat'; did you mean 'rotate'"):
        check(IMAGE, {"rotat": "sensitive"})
    with pytest.raises(TwofoldError, match="unknown word for crop 'invarient'; did you mean 'inv"):
        check(IMAGE, {"crop": "invarient"})


def test_substitutions_say_everything_that_is_replaced():
    prescription = dict.fromkeys(IMAGE, "invariant") | {"grayscale": "off"}
    assert substitutions(IMAGE, prescription, channels=3) == ()
    assert substitutions(IMAGE, prescription, channels=2) == (
        "saturation needs 3 channels and the images have 2: "
        "every channel is multiplied by its own factor",
        "hue needs 3 channels and the images have 2: every channel is moved by its own offset",
    )
    assert [text.split()[0] for text in substitutions(IMAGE, prescription, channels=1)] == [
        "saturation",
        "hue",
    ]
    with pytest.raises(TwofoldError, match="unknown augmentation"):
        substitutions(IMAGE, {"crops": "invariant"}, channels=3)


def test_an_augmentation_without_a_stage_method_says_so():
    for call in (
        lambda: Augmentation().box({}, 1, 1),
        lambda: Augmentation().matrix({}),
        lambda: Augmentation().render(None, {}),
    ):
        with pytest.raises(NotImplementedError):
            call()


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (lambda: check_repeats(IMAGE, {"rotat": (1,)}, 2), "did you mean 'rotate'"),
        (
            lambda: check_repeats(IMAGE, {"rotate": (1, 2)}, 2),
            r"repeats of rotate is \(1, 2\); it must name views in \[1, 2\), which then repeat",
        ),
        (lambda: check_repeats(IMAGE, {"rotate": (0,)}, 3), r"name views in \[1, 3\)"),
        (lambda: check_small_views(-1, 0.5), "small_views is -1; it must be at least 0"),
        (lambda: check_small_views(0, 0.0), r"small_size is 0.0; it must be in \(0, 1\]"),
        (lambda: check_small_views(2, 1.5), "small_size is 1.5"),
        (lambda: check_select("subsets", {}), "unknown way to select 'subsets'; did you mean"),
        (
            lambda: check_select("subset", {"blur": (1.0, 0.1)}),
            "asymmetry is given for blur, but select='subset' applies the same in all views",
        ),
    ],
)
def test_what_views_cannot_be_is_refused_in_one_line(refused, message):
    with pytest.raises(TwofoldError, match=message) as error:
        refused()
    assert "\n" not in str(error.value)


def test_what_views_can_be_passes():
    check_repeats(IMAGE, {"rotate": (2, 1), "hue": ()}, 3)
    check_small_views(0, 1.0)
    check_select("subset", {})
    check_select("each", {"blur": (1.0, 0.1)})


def test_small_views_keep_enough_pixels_and_never_outgrow_the_others():
    for size in range(4, 100):
        for share in (0.01, 0.3, 0.5, 1.0):
            side = small_side(size, share)
            assert side == max(round(share * size), min(8, size))
            assert min(8, size) <= side <= size


def test_a_crops_quantities_are_the_centre_and_size_of_its_box():
    crop = ResizedCrop()
    drawn = crop.draw(np.random.default_rng(0).random((500, crop.num_uniforms)))
    found = crop.quantities(drawn)
    top, left, height, width = crop.box(drawn, 40_000, 20_000).T
    assert list(found) == ["centre_x", "centre_y", "height", "width"]
    pixels = {
        "centre_x": (left + width / 2) / 20_000,
        "centre_y": (top + height / 2) / 40_000,
        "height": height / 40_000,
        "width": width / 20_000,
    }
    for name, expected in pixels.items():
        np.testing.assert_allclose(found[name], expected, atol=1e-4)


def test_angles_that_go_round_become_sine_and_cosine():
    degrees = np.array([-180.0, -90.0, 0.0, 45.0, 180.0])
    for augmentation, drawn in (
        (RotateFree(degrees=180), {"angle": degrees}),
        (Hue(strength=0.5), {"shift": degrees / 360}),
    ):
        found = augmentation.quantities(drawn)
        assert list(found) == ["sine", "cosine"]
        half = math.sqrt(0.5)
        np.testing.assert_allclose(found["sine"], [0, -1, 0, half, 0], atol=1e-15)
        np.testing.assert_allclose(found["cosine"], [-1, 0, 1, half, -1], atol=1e-15)
    assert list(RotateFree(degrees=90).quantities({"angle": degrees})) == ["angle"]
    assert list(Hue(strength=0.25).quantities({"shift": degrees})) == ["shift"]


@pytest.mark.parametrize("augmentation", EVERY, ids=by_class)
def test_quantities_are_finite_and_others_than_named_as_recorded(augmentation):
    drawn = augmentation.draw(np.random.default_rng(1).random((50, augmentation.num_uniforms)))
    found = augmentation.quantities(drawn)
    assert bool(found) == (augmentation.target != "binary")
    assert all(value.shape == (50,) and np.isfinite(value).all() for value in found.values())
    if isinstance(augmentation, ResizedCrop):
        return
    assert set(found) == set(augmentation.parameters)
    for name, value in found.items():
        logarithm = isinstance(augmentation, Affine) and name == "scale"
        np.testing.assert_array_equal(value, np.log(drawn[name]) if logarithm else drawn[name])
