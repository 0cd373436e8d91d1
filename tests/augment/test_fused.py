"""The fused renderer against the batched one, view by view."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from twofold.augment import IMAGE, Views, fused
from twofold.augment.draws import part_of

pytest.importorskip("numba")

COUNT = 48


def views_of(names, channels, size, **settings):
    words = dict.fromkeys(names, "invariant")
    return Views(IMAGE, words, channels=channels, size=size, seed=5, **settings)


def both(views, images, draws, size, count=1):
    mine = fused.render(views.augmentations, images, draws, size=size, views=count)
    return mine, views.render(images, draws, size=size, views=count)


def agree(mine, theirs):
    """Within rounding, which is 40 times less than a level of 255.

    A pixel that lies at the edge of solarize may fall on either side of it.
    """
    return ((mine - theirs).abs() > 1e-4).float().mean() < 1e-5


def items(channels, height, width, dtype=np.uint8, count=COUNT):
    """Images with flat parts, where a hue is undefined, beside noise."""
    values = np.random.default_rng(1).integers(0, 256, (count, channels, height, width))
    values[::3, :, : height // 2] = 255
    values[1::3, :, :, : width // 2] = 90
    values = values.astype(np.uint8)
    return (
        torch.from_numpy(values).float().div_(255)
        if dtype == np.uint8
        else torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(2))
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (17, 40, 24), (61, 20, 9), (5, 6, 33), (1, 1, 4)]
)
def test_views_are_those_of_the_batched_renderer(height, width, size, channels, dtype):
    views = views_of(fused.RENDERED, channels, size)
    images = items(channels, height, width, dtype)
    rows, which = np.tile(np.arange(COUNT), 3), np.repeat(np.arange(3), COUNT)
    mine, theirs = both(views, images, views.draw(rows, 2, which % 2), size, 3)
    assert mine.shape == (3 * COUNT, channels, size, size)
    assert mine.min() >= 0
    assert mine.max() <= 1
    assert agree(mine, theirs)


@pytest.mark.parametrize("name", fused.RENDERED)
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_each_augmentation_alone(name, channels):
    views = views_of([name], channels, 20)
    images = items(channels, 26, 20)
    draws = views.draw(np.arange(COUNT), 0, 0)
    mine, theirs = both(views, images, draws, 20)
    assert agree(mine, theirs)
    if name in views.augmentations:
        plain, _ = both(views_of([], channels, 20), images, {}, 20)
        assert (mine != plain).any()


def test_what_nothing_changes_is_the_image_itself():
    images = items(3, 16, 16)
    views = views_of([], 3, 16)
    assert torch.equal(fused.render({}, images, {}, size=16, views=2)[COUNT:], images)
    assert not views.augmentations


def test_a_view_is_the_same_in_any_batch_and_thread():
    views = views_of(fused.RENDERED, 3, 19)
    images = items(3, 30, 24)
    draws = views.draw(np.arange(COUNT), 0, 0)

    def rendered(some):
        return fused.render(views.augmentations, images[some], part_of(draws, some), size=19)

    whole = rendered(slice(0, COUNT))
    with ThreadPoolExecutor(4) as pool:
        ones = pool.map(rendered, [slice(i, i + 1) for i in range(COUNT)])
        assert torch.equal(torch.cat(list(ones)), whole)
        again = pool.map(rendered, [slice(0, COUNT)] * 4)
        assert all(torch.equal(one, whole) for one in again)


def test_images_of_any_layout_are_read_and_left_alone():
    images = items(3, 22, 18).to(memory_format=torch.channels_last)
    kept = images.clone()
    views = views_of(fused.RENDERED, 3, 22)
    mine, theirs = both(views, images, views.draw(np.arange(COUNT), 0, 0), 22)
    assert agree(mine, theirs)
    assert torch.equal(images, kept)


def test_a_loader_gives_the_same_batches_with_either():
    views = views_of(fused.RENDERED, 3, 16, renderer=fused.render, small_views=2)
    images, index = items(3, 16, 16), np.arange(COUNT)
    mine, draws = views(images, index, 0)
    theirs, same = views_of(fused.RENDERED, 3, 16, small_views=2)(images, index, 0)
    assert all(agree(one, other) for one, other in zip(mine, theirs, strict=True))
    assert draws[3]["crop"]["top"].tolist() == same[3]["crop"]["top"].tolist()
    assert tuple(mine[3].shape) == (COUNT, 3, 8, 8)


def test_what_it_cannot_render_is_known():
    assert {"affine", "cutout", "noise", "sobel", "equalize"}.isdisjoint(fused.RENDERED)
    assert fused.can_render({name: IMAGE[name] for name in fused.RENDERED})
    assert not fused.can_render({"crop": IMAGE["crop"], "noise": IMAGE["noise"]})
