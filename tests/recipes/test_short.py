"""The recipe for minutes of one core, on gray and coloured images of any size."""

import numpy as np
import pytest

import twofold
from twofold import TwofoldError
from twofold.assembly import build_views
from twofold.domains import Source
from twofold.recipes import RECIPES, recipe_by_name, simclr

SHORT = RECIPES["simclr_short"]()


def test_both_views_of_an_image_are_turned_alike_and_the_turn_is_told():
    items = np.zeros((4, 1, 16, 16), dtype=np.uint8)
    views = build_views(SHORT, Source(name="toy", items=items, ids=list("abcd")), seed=0)
    first, second = (views.draw(np.arange(100), 0, view)["rotate"]["turns"] for view in (0, 1))
    assert np.array_equal(first, second)
    assert set(first.tolist()) == {0, 1, 2, 3}
    assert SHORT.learned["predict/rotate"].names == ("rotate",)
    assert SHORT.loss_weights == {"contrast": 1.0, "predict/rotate": 0.4}


def test_its_early_views_are_sixteen_pixels_of_twenty_eight():
    assert SHORT.view_sizes(28) == (16, 28)
    assert SHORT.early_share > simclr().early_share


@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 16), (3, 40), (4, 21)])
def test_it_learns_from_gray_and_coloured_images_of_any_size(channels, size, tmp_path):
    items = np.random.default_rng(0).integers(0, 256, (32, channels, size, size), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=items, labels=np.arange(32) % 2)
    small = {"encoder": "resnet-small", "width": 0.25, "batch_size": 8, "epochs": 1}
    run = twofold.pretrain(
        "simclr_short", data=tmp_path / "images.npz", out=tmp_path / "run", quiet=True, **small
    )
    assert run.encoder().embed(items).shape[0] == 32


def test_other_domains_are_told_what_there_is_for_them():
    with pytest.raises(TwofoldError, match=r"simclr_short is for images alone; .* simclr,"):
        recipe_by_name("simclr_short", "jet")
