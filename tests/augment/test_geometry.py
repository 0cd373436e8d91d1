"""Resampling against torchvision's antialiased crop, NumPy's turns, and brute-force sampling."""

import numpy as np
import pytest
import torch
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as reference

from twofold.augment import geometry

RNG = np.random.default_rng(0)


def images_of(n, channels, height, width):
    return torch.from_numpy(RNG.random((n, channels, height, width), dtype=np.float32))


def whole(images):
    return np.tile([0, 0, *images.shape[2:]], (len(images), 1))


def resample(images, boxes=None, matrix=None, size=None):
    boxes = whole(images) if boxes is None else boxes
    matrix = np.tile(np.eye(3), (len(images), 1, 1)) if matrix is None else matrix
    out = images.new_empty(*images.shape[:2], *(2 * [size or images.shape[-1]]))
    geometry.resample(images, boxes, matrix, out=out)
    return out


def random_boxes(n, height, width):
    draws = geometry.draw_crop(RNG.random((n, 22)), (0.05, 1.0), (1 / 2, 2.0))
    return geometry.crop_box(draws, height, width)


@pytest.mark.parametrize(
    ("channels", "height", "width", "size"),
    [
        (3, 32, 32, 32),
        (1, 28, 28, 20),
        (2, 96, 96, 33),
        (3, 40, 17, 64),
        (5, 7, 9, 1),
        (2, 50, 96, 70),
    ],
)
@pytest.mark.parametrize("flipped", [False, True])
def test_a_crop_is_torchvisions_antialiased_crop(channels, height, width, size, flipped):
    images = images_of(40, channels, height, width)
    boxes = random_boxes(40, height, width)
    matrix = geometry.mirror(np.full(40, flipped), axis=0)
    for image, box, view in zip(images, boxes, resample(images, boxes, matrix, size), strict=True):
        expected = reference.resized_crop(image, *box.tolist(), [size, size], antialias=True)
        expected = expected.flip(2) if flipped else expected
        torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [8, 28, 31, 65])
def test_nothing_changes_nothing(size):
    images = images_of(5, 3, size, size)
    assert torch.equal(resample(images), images)


@pytest.mark.parametrize("size", [8, 28, 31, 65])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_quarter_turns_are_exact_and_counter_clockwise(size, turns):
    images = images_of(4, 2, size, size)
    view = resample(images, matrix=geometry.quarter_turns(np.full(4, float(turns))))
    assert torch.equal(view, torch.rot90(images, turns, dims=(2, 3)))


@pytest.mark.parametrize("size", [8, 31, 65])
def test_four_quarter_turns_and_two_flips_are_the_identity(size):
    images = images_of(3, 3, size, size)
    once = np.ones(3)
    for matrix, times in (
        (geometry.quarter_turns(once), 4),
        (geometry.mirror(once > 0, axis=0), 2),
        (geometry.mirror(once > 0, axis=1), 2),
    ):
        view = images
        for _ in range(times):
            view = resample(view, matrix=matrix)
        assert torch.equal(view, images)
        composed = np.linalg.matrix_power(matrix[0], times)
        np.testing.assert_array_equal(composed, np.eye(3))


@pytest.mark.parametrize(("axis", "dim"), [(0, 3), (1, 2)])
def test_flips_are_exact(axis, dim):
    images = images_of(4, 3, 9, 9)
    applied = np.array([True, False, True, False])
    view = resample(images, matrix=geometry.mirror(applied, axis=axis))
    assert torch.equal(view[::2], images[::2].flip(dim))
    assert torch.equal(view[1::2], images[1::2])


@pytest.mark.parametrize("size", [24, 64])
def test_a_crop_composed_with_turns_equals_doing_one_after_the_other(size):
    images, boxes = images_of(16, 3, size, size), random_boxes(16, size, size)
    turns, flips = RNG.integers(0, 4, 16).astype(float), RNG.random(16) < 0.5
    mirror, turn = geometry.mirror(flips, axis=0), geometry.quarter_turns(turns)
    stepwise = resample(resample(resample(images, boxes), matrix=mirror), matrix=turn)
    torch.testing.assert_close(resample(images, boxes, mirror @ turn), stepwise, atol=1e-5, rtol=0)


def bilinear(image, x, y):
    """Pixel centres at whole numbers plus a half."""
    (height, width), x, y = image.shape, x - 0.5, y - 0.5
    left, top = int(np.floor(x)), int(np.floor(y))
    total = 0.0
    for row, across in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, along in ((left, 1 - (x - left)), (left + 1, x - left)):
            inside = image[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]
            total += across * along * inside
    return total


def test_a_free_rotation_interpolates_inside_the_box():
    images = images_of(3, 1, 12, 12).double()
    boxes, angle = np.array([[0, 0, 12, 12], [2, 3, 9, 8], [5, 1, 6, 10]]), np.array([30, -75, 160])
    views = resample(images, boxes, geometry.rotation(angle), size=12)
    for image, (top, left, height, width), degrees, view in zip(
        images[:, 0].numpy(), boxes, angle, views[:, 0].numpy(), strict=True
    ):
        cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        for row in range(12):
            for column in range(12):
                x, y = (2 * column + 1) / 12 - 1, (2 * row + 1) / 12 - 1
                x, y = cosine * x - sine * y, sine * x + cosine * y
                x = np.clip(left + (x + 1) / 2 * width, left + 0.5, left + width - 0.5)
                y = np.clip(top + (y + 1) / 2 * height, top + 0.5, top + height - 0.5)
                assert view[row, column] == pytest.approx(bilinear(image, x, y), abs=1e-9)


def test_a_free_rotation_agrees_with_the_quarter_turn():
    images = images_of(4, 3, 16, 16)
    free = resample(images, matrix=geometry.rotation(np.full(4, 90.0)))
    torch.testing.assert_close(free, torch.rot90(images, 1, dims=(2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 17.0, 180.0])
def test_nothing_outside_the_box_is_read(angle):
    images = torch.ones(1, 1, 20, 20)
    images[:, :, 4:13, 6:14] = 0.5
    box, matrix = np.array([[4, 6, 9, 8]]), geometry.rotation(np.array([angle]))
    view = resample(images, box, matrix, size=20)
    torch.testing.assert_close(view, torch.full_like(view, 0.5), atol=1e-6, rtol=0)


@pytest.mark.parametrize("angle", [1.0, 40.0])
def test_shrinking_averages_instead_of_skipping_pixels(angle):
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64).contiguous()
    view = resample(stripes, matrix=geometry.rotation(np.array([angle])), size=8)
    inside = view[..., 2:-2, 2:-2]  # corners repeat the box's edge
    assert inside.sub(0.5).abs().max() < 0.1


def test_affine_moves_magnifies_and_shears_as_it_says():
    spot = torch.zeros(1, 1, 41, 41)
    spot[0, 0, 20 - 4, 20 + 6] = 1.0

    def centre(**changed):
        neutral = {"right": 0.0, "down": 0.0, "scale": 1.0, "shear": 0.0} | changed
        values = {name: np.array([value]) for name, value in neutral.items()}
        view = resample(spot, matrix=geometry.affine(values))[0, 0]
        rows, columns = torch.meshgrid(torch.arange(41), torch.arange(41), indexing="ij")
        weight = view / view.sum()
        return (rows * weight).sum().item() - 20, (columns * weight).sum().item() - 20

    assert centre() == pytest.approx((-4, 6), abs=1e-4)
    assert centre(right=5 / 41, down=-2 / 41) == pytest.approx((-6, 11), abs=1e-3)
    assert centre(scale=2.0) == pytest.approx((-8, 12), abs=0.05)
    shear = np.rad2deg(np.arctan(0.5))
    assert centre(shear=shear) == pytest.approx((-4, 6 - 0.5 * -4), abs=0.05)
    right_then = centre(right=5 / 41, scale=2.0)
    assert right_then == pytest.approx((-8, 17), abs=0.05)


def test_drawn_crops_have_torchvisions_distribution():
    scale, ratio = (0.08, 1.0), (3 / 4, 4 / 3)
    draws = geometry.draw_crop(RNG.random((40_000, 22)), scale, ratio)
    mine = geometry.crop_box(draws, 64, 64)
    torch.manual_seed(0)
    image = torch.empty(1, 64, 64)
    theirs = [RandomResizedCrop.get_params(image, scale, ratio) for _ in range(8_000)]
    for column, other in zip(mine.T, np.array(theirs).T, strict=True):
        quantiles = np.linspace(0.05, 0.95, 10)
        assert np.abs(np.quantile(column, quantiles) - np.quantile(other, quantiles)).max() <= 2


def test_a_crop_that_never_fits_keeps_what_the_ratio_allows():
    draws = geometry.draw_crop(np.full((1, 22), 0.99), (1.0, 1.0), (2.0, 2.0))
    assert geometry.crop_box(draws, 20, 20).tolist() == [[5, 0, 10, 20]]


def test_crop_boxes_stay_inside_and_are_never_empty():
    draws = geometry.draw_crop(RNG.random((5_000, 22)), (1e-6, 1.0), (1e-3, 1e3))
    top, left, height, width = geometry.crop_box(draws, 9, 5).T
    assert min(top.min(), left.min()) == 0
    assert min(height.min(), width.min()) == 1
    assert (top + height).max() == 9
    assert (left + width).max() == 5
