"""The table of jets: importable without torch, validated in one line, documented, predictable."""

import ast
import inspect
import itertools
import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from twofold.augment import Views, substitutions
from twofold.domains.jet import JET, render
from twofold.domains.jet.augmentations import (
    Drop,
    Energy,
    Noise,
    PhiRoll,
    Rotate,
    Shift,
    Smear,
    Threshold,
)
from twofold.domains.jet.channels import CHANNELS, PARTS, energies, parts
from twofold.errors import TwofoldError

EVERYTHING = dict.fromkeys(JET, "both")


def views_of(prescription, channels=3):
    return Views(JET, prescription, channels=channels, size=16, renderer=render)


def test_importing_the_table_loads_neither_torch_nor_numpy():
    program = """
        import sys
        from twofold.domains.jet.augmentations import JET
        JET["drop"].caption({"part": 2.0})
        sys.exit(", ".join({"torch", "numpy"} & set(sys.modules)) or 0)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", JET)
def test_every_field_is_documented_for_the_command_line(name):
    kind = type(JET[name])
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0].body
    documented = {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr)
    }
    own = {name for name, type in kind.__annotations__.items() if not type.startswith("ClassVar")}
    assert own <= set(documented)
    assert all("\n" not in documented[name] for name in own)


@pytest.mark.parametrize("name", JET)
def test_what_is_declared_is_what_is_drawn(name):
    augmentation = JET[name]
    drawn = augmentation.draw(np.random.default_rng(0).random((100, augmentation.num_uniforms)))
    assert set(drawn) == set(augmentation.neutral)
    assert all(value.shape == (100,) for value in drawn.values())
    found = augmentation.quantities(drawn)
    assert bool(found) == (augmentation.target != "binary")
    assert all(value.shape == (100,) and np.isfinite(value).all() for value in found.values())
    assert "key" not in found
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

    assert drawn(PhiRoll()) == {"turn": either(0, 1)}
    assert drawn(Shift(cells=3)) == {"eta": either(-3, 3), "phi": either(-3, 3)}
    assert drawn(Rotate(degrees=20)) == {"angle": either(-20, 20)}
    assert drawn(Energy(strength=0.1)) == dict.fromkeys(PARTS, either(0.9, 1.1))
    assert drawn(Smear(stochastic=(0.2, 0.3)))["stochastic"] == either(0.2, 0.3)
    assert drawn(Noise(sigma=(0.1, 0.5)))["sigma"] == either(0.1, 0.5)
    assert drawn(Threshold(energy=(1.0, 2.0))) == {"energy": either(1, 2)}
    assert drawn(Drop()) == {"part": 3.0 if number else 1.0}


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (PhiRoll, {"probability": 2}, "PhiRoll.probability is 2; it must be a number"),
        (Shift, {"cells": -1}, r"Shift.cells is -1; it must be a number in \[0, 1000\]"),
        (Rotate, {"degrees": 270}, "Rotate.degrees is 270"),
        (Energy, {"strength": 1.5}, "Energy.strength is 1.5"),
        (Smear, {"stochastic": (0.5, 0.1)}, "the smaller first"),
        (Smear, {"constant": -0.1}, "Smear.constant is -0.1"),
        (Noise, {"sigma": 0.1}, "Noise.sigma is 0.1; it must be two numbers"),
        (Threshold, {"energy": (-1.0, 1.0)}, "Threshold.energy is"),
        (Drop, {"probability": "often"}, "Drop.probability is 'often'"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_one_line(kind, settings, message):
    with pytest.raises(TwofoldError, match=message) as error:
        kind(**settings)
    assert "\n" not in str(error.value)


def test_parts_and_energies_follow_from_the_channels():
    assert all(len(parts(channels)) == channels == len(CHANNELS[channels]) for channels in CHANNELS)
    assert energies(3) == (0, 1, 2)
    assert energies(8) == (0, 3, 4)
    assert energies(5) == (0, 1, 2, 3, 4)
    assert parts(3) == (0, 1, 2)


def test_what_needs_a_detectors_channels_says_so():
    assert substitutions(JET, EVERYTHING, 3) == substitutions(JET, EVERYTHING, 8) == ()
    assert substitutions(JET, EVERYTHING, 1) == (
        "energy needs 3 channels and the images have 1: it is not drawn",
        "drop needs 3 channels and the images have 1: it is not drawn",
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", JET)
def test_each_can_be_predicted(name, channels):
    target = views_of({name: "sensitive"}, channels).target(name)
    expected = {
        "eta_flip": math.log(2),
        "phi_flip": math.log(2),
        # 80 % none, the others alike
        "drop": -0.8 * math.log(0.8) - 0.2 * math.log(0.2 / 3),
    }
    assert target.chance == pytest.approx(expected.get(name, 1.0), abs=0.02)
    names = {
        "phi_roll": ("sine", "cosine"),
        "shift": ("eta", "phi"),
        "rotate": ("sine", "cosine"),
        "energy": PARTS,
        "smear": ("stochastic",),
        "noise": ("sigma",),
        "threshold": ("energy",),
    }
    assert target.names == names.get(name, ())


def test_small_turns_are_numbers_and_full_ones_sine_and_cosine():
    degrees = np.array([-180.0, 0.0, 90.0, 180.0])
    found = Rotate().quantities({"angle": degrees})
    np.testing.assert_allclose(found["sine"], [0, 0, 1, 0], atol=1e-15)
    np.testing.assert_allclose(found["cosine"], [-1, 1, 0, -1], atol=1e-15)
    assert list(Rotate(degrees=45).quantities({"angle": degrees})) == ["angle"]
    around = PhiRoll().quantities({"turn": np.array([0.0, 1 - 2**-32])})
    np.testing.assert_allclose(around["sine"], 0, atol=1e-8)


def test_a_caption_says_what_was_done():
    views = views_of(EVERYTHING)
    drawn = views.draw(np.arange(50), epoch=0, view=0)
    said = {word for i in range(50) for word in views.describe(drawn, i)}
    assert {"flip η", "flip φ", "no tracks", "no ECAL", "no HCAL"} <= said
    assert any(word.startswith("shift η ") for word in said)
