"""Filters against torchvision, scipy and what their definitions say."""

import numpy as np
import pytest
import torch
from scipy import ndimage, stats
from torchvision.transforms import functional as reference

from twofold.augment import filters

RNG = np.random.default_rng(0)


def images_of(n, channels, size):
    return torch.from_numpy(RNG.random((n, channels, size, size), dtype=np.float32))


@pytest.mark.parametrize(("size", "side"), [(32, 3), (31, 9), (6, 9)])
def test_blur_equals_torchvision(size, side):
    images, sigma = images_of(5, 3, size), np.array([0.1, 0.4, 1.0, 1.7, 2.0])
    view = filters.gaussian_blur(images, sigma, side)
    for image, deviation, blurred in zip(images, sigma, view, strict=True):
        expected = reference.gaussian_blur(image, [side, side], [float(deviation)] * 2)
        torch.testing.assert_close(blurred, expected, atol=1e-5, rtol=0)


def test_motion_blur_is_the_mean_along_a_line():
    image = images_of(1, 1, 25)
    level = filters.motion_blur(image, np.array([5.0]), np.array([0.0]), points=5)
    expected = ndimage.uniform_filter1d(image[0, 0].numpy(), 5, axis=1, mode="nearest")
    np.testing.assert_allclose(level[0, 0].numpy(), expected, atol=1e-5)
    upright = filters.motion_blur(image, np.array([5.0]), np.array([90.0]), points=5)
    expected = ndimage.uniform_filter1d(image[0, 0].numpy(), 5, axis=0, mode="nearest")
    np.testing.assert_allclose(upright[0, 0].numpy(), expected, atol=1e-5)


def test_motion_blur_slants_counter_clockwise():
    spot = torch.zeros(1, 1, 11, 11)
    spot[0, 0, 5, 5] = 1
    view = filters.motion_blur(spot, np.array([7.0]), np.array([45.0]), points=7)[0, 0]
    assert view[3, 7] > 0.02  # up and to the right
    assert view[3, 3] == 0
    assert view.sum().item() == pytest.approx(1, abs=1e-5)


def test_normals_are_normal_and_differ_by_key():
    numbers = filters.normals(torch.arange(4), 10_001)
    assert numbers.shape == (4, 10_001)
    for row in numbers.numpy():
        assert stats.kstest(row, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(numbers.numpy()) - np.eye(4)).max() < 0.04


def test_normals_do_not_depend_on_the_batch_or_the_count():
    key = torch.tensor([5, 2**32 - 1, 77])
    together = filters.normals(key, 303)
    for row in range(3):
        assert torch.equal(filters.normals(key[row : row + 1], 303)[0], together[row])


def test_noise_has_the_drawn_deviation():
    images = torch.full((2, 3, 64, 64), 0.5)
    view = filters.noise(images.clone(), np.array([0.02, 0.1]), np.array([1.0, 2.0]))
    deviation = (view - images).flatten(1).std(dim=1)
    torch.testing.assert_close(deviation, torch.tensor([0.02, 0.1]), rtol=0.03, atol=0)


def test_cutout_fills_one_square_with_the_mean():
    images = images_of(40, 3, 10)
    values = {"top": RNG.random(40), "left": RNG.random(40)}
    view = filters.cutout(images.clone(), values, side=0.5)
    changed = (view != images).any(dim=1)
    assert (changed.flatten(1).sum(dim=1) == 25).all()
    assert (changed.any(dim=1).sum(dim=1) == 5).all()
    mean = images.mean(dim=(2, 3))
    for mask, image, colour in zip(changed, view, mean, strict=True):
        torch.testing.assert_close(image[:, mask], colour[:, None].expand(3, 25))


def test_sobel_equals_scipys_gradient():
    images = images_of(3, 1, 12) * 0.2
    view = filters.sobel(images)
    for image, edges in zip(images[:, 0].numpy(), view[:, 0].numpy(), strict=True):
        down, right = (ndimage.sobel(image, axis=axis, mode="nearest") for axis in (0, 1))
        np.testing.assert_allclose(edges, np.clip(np.hypot(down, right), 0, 1), atol=1e-6)


def test_sobel_of_a_flat_image_is_black_in_every_channel():
    assert torch.equal(filters.sobel(torch.full((1, 3, 5, 5), 0.7)), torch.zeros(1, 3, 5, 5))
