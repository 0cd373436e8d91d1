"""Colour against torchvision's functional operations, alone and in every order."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from twofold.augment import colour

RNG = np.random.default_rng(0)
JITTER = {
    "brightness": reference.adjust_brightness,
    "contrast": reference.adjust_contrast,
    "saturation": reference.adjust_saturation,
    "hue": reference.adjust_hue,
}


@pytest.fixture
def images():
    """Random colours, and the colours that hue is undefined or ambiguous for."""
    images = torch.from_numpy(RNG.random((12, 3, 15, 13), dtype=np.float32))
    images[0] = 0.3
    images[1, 1] = images[1, 0]
    images[2, 2] = images[2, 1]
    images[3] = images[3].round()
    images[4, :, :5] = images[4, :1, :5]
    return images


def amounts(name, n):
    low, high = (-0.5, 0.5) if name == "hue" else (0.0, 2.0)
    return RNG.uniform(low, high, n)


def each(function, images, amount):
    return torch.stack([function(x, float(a)) for x, a in zip(images, amount, strict=True)])


@pytest.mark.parametrize("order", list(permutations(JITTER)), ids="-".join)
def test_jitter_equals_torchvision_in_every_order(images, order):
    view, expected = images.clone(), images
    for name in order:
        amount = amounts(name, len(images))
        view = getattr(colour, name)(view, amount)
        expected = each(JITTER[name], expected, amount)
        torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", JITTER)
def test_jitter_stays_in_range(images, name):
    low, high = (-0.5, 0.5) if name == "hue" else (0.0, 3.0)
    for amount in np.linspace(low, high, 7):
        view = getattr(colour, name)(images.clone(), np.full(len(images), amount))
        assert view.min() >= 0
        assert view.max() <= 1


def test_contrast_of_one_channel_equals_torchvision(images):
    gray, amount = images[:, :1], amounts("contrast", len(images))
    view = colour.contrast(gray.clone(), amount)
    expected = each(reference.adjust_contrast, gray, amount)
    torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


def test_a_third_of_the_circle_moves_the_channels_along():
    red = torch.tensor([0.8, 0.2, 0.3]).view(1, 3, 1, 1)
    green = colour.hue(red.clone(), np.array([1 / 3]))
    torch.testing.assert_close(green.flatten(), torch.tensor([0.3, 0.8, 0.2]))


def test_grayscale_equals_torchvision(images):
    expected = reference.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(colour.grayscale(images), expected, atol=1e-6, rtol=0)


def test_solarize_inverts_bright_pixels():
    images = torch.tensor([0.25, 0.5, 0.75]).view(1, 1, 1, 3)
    assert colour.solarize(images, 0.5).flatten().tolist() == [0.25, 0.5, 0.25]


def test_solarize_equals_torchvision(images):
    assert torch.equal(colour.solarize(images, 0.4), reference.solarize(images, 0.4))


@pytest.mark.parametrize("side", [4, 40])
def test_equalize_equals_torchvision(side):
    levels = torch.from_numpy(RNG.integers(0, 256, (6, 3, side, side)).astype(np.uint8))
    levels[0] //= 3
    levels[1, 0] = 77
    levels[2] = (levels[2] > 128) * 200
    expected = reference.equalize(levels)
    view = colour.equalize(levels.float() / 255)
    assert torch.equal(view.mul(255).round().byte(), expected)


def test_equalize_leaves_a_constant_channel_bit_for_bit():
    images = torch.full((1, 2, 40, 40), 0.123)
    assert torch.equal(colour.equalize(images), images)


def test_gain_and_offset_act_on_every_channel_alone(images):
    numbers = [np.full(len(images), value) for value in (0.5, 1.0, 2.0)]
    gain = torch.tensor([0.5, 1.0, 2.0]).view(3, 1, 1)
    assert torch.equal(colour.gain(images.clone(), numbers), (images * gain).clamp(0, 1))
    assert torch.equal(colour.offset(images.clone(), numbers), (images + gain).clamp(0, 1))


def test_grayscale_of_other_channel_counts_is_their_mean():
    images = torch.from_numpy(RNG.random((4, 5, 6, 6), dtype=np.float32))
    view = colour.grayscale(images)
    torch.testing.assert_close(view, images.mean(1, keepdim=True).expand_as(view))
