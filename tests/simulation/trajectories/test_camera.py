"""Pictures of two moments."""

import numpy as np
import pytest

from twofold.simulation.trajectories import SYSTEMS, Conditions, follow_orbits
from twofold.simulation.trajectories.camera import Camera, add_noise, draw_shifts, draw_tints


def drawn_by_hand(angles, size, crop):
    """The picture of a pendulum at two moments, pixel by pixel."""
    big = size if crop == 1 else int(size / crop + 4)
    corner = int(np.floor((1 - crop / 2) * big - size / 2))
    string = big - 4 - big // 2 - 1
    whole = np.ones((3, 2 * big, 2 * big))
    for angle, channels in zip(angles, ((0, 1), (1, 2)), strict=True):
        row = big // 2 + round(string * np.cos(angle))
        column = big // 2 + round(string * np.sin(angle))
        for channel in channels:
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    whole[channel, row + down, column + right] = 0
    return whole[:, corner : corner + size, corner : corner + size]


@pytest.mark.parametrize(
    ("size", "crop"), [(32, 1.0), (64, 1.0), (17, 1.0), (32, 0.9), (32, 0.5), (32, 0.45), (40, 0.3)]
)
def test_pictures_are_those_drawn_by_hand(size, crop):
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (60, 2))
    angles[:3] = [[0, 0], [np.pi / 4, np.pi / 4], [0.1, -np.pi]]
    camera = Camera(size, crop)
    bobs = SYSTEMS["pendulum"].bobs(np.stack([angles, angles], axis=-1), 1.0)
    pixels = camera.pixels(bobs)
    pictures = camera.pictures(pixels)
    assert pictures.dtype == np.uint8
    expected = np.stack([drawn_by_hand(pair, size, crop) for pair in angles])
    np.testing.assert_array_equal(pictures, 255 * expected)
    all_there = [(picture[[0, 2]] == 0).sum(axis=(1, 2)).min() == 9 for picture in expected]
    np.testing.assert_array_equal(camera.sees(pixels), all_there)
    assert crop == 1 or 0 < np.mean(all_there) < 1


def test_a_pendulum_of_32_pixels_is_the_published_one():
    camera = Camera(32)
    assert (camera.string, camera.pixels(np.zeros(2)).tolist()) == (11, [16, 16])


def test_equal_pictures_are_told_from_others_by_what_is_shown():
    camera = Camera(32, 0.5)
    pixels = np.random.default_rng(0).integers(-4, 37, (3000, 2, 1, 2))
    pictures = camera.pictures(pixels).reshape(len(pixels), -1)
    shown = camera.shown(pixels).reshape(len(pixels), -1)
    seen = np.unique(pictures, axis=0, return_inverse=True)[1]
    told = np.unique(shown, axis=0, return_inverse=True)[1]
    pairs = len(np.unique(np.stack([seen, told]), axis=1).T)
    # A bob half outside may look like another that is: never are two pictures taken for one.
    assert pairs == told.max() + 1
    assert seen.max() <= told.max()


@pytest.mark.parametrize("name", ["double-pendulum", "kepler", "spring"])
def test_whatever_moves_stays_in_the_picture(name):
    system = SYSTEMS[name]
    values = np.random.default_rng(0).uniform(*system.range, 100)
    states = follow_orbits(name, values, np.linspace(0, 20, 50))
    camera = Camera(32)
    pixels = camera.pixels(system.bobs(states, system.range[1]))
    assert pixels.shape == (100, 50, 2 if name == "double-pendulum" else 1, 2)
    assert camera.sees(pixels).all()
    assert np.ptp(pixels[..., 0]) >= 16


def test_noise_has_the_strength_that_is_asked_for():
    rng, strength = np.random.default_rng(0), 0.2
    tints = draw_tints(Conditions(render="images", pixel_noise=strength), 400, rng)
    np.testing.assert_allclose(tints.std(), strength / 8 / np.sqrt(3), rtol=0.05)
    assert np.corrcoef(tints.T)[0, 1] == pytest.approx(0, abs=0.15)
    grey = np.full((400, 3, 16, 16), 128, np.uint8)
    noisy = add_noise(grey, tints, strength, rng) / 255 - 128 / 255 - tints[:, :, None, None]
    np.testing.assert_allclose(noisy.std(), strength / 4, rtol=0.02)
    np.testing.assert_allclose(noisy.mean(), 0, atol=1e-3)
    white = add_noise(np.full((9, 3, 16, 16), 255, np.uint8), tints[:9], strength, rng)
    assert white.max() == 255
    assert 200 < white.mean() < 255


def test_pictures_are_shifted_as_often_as_is_asked_for():
    conditions = Conditions(render="images", pixel_noise=0.1)
    shifts = draw_shifts(conditions, 20_000, np.random.default_rng(0))
    assert set(shifts.ravel()) == {0, 1}
    np.testing.assert_allclose(shifts.mean(axis=0), 0.2, atol=0.01)
