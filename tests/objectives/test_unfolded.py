"""InfoNCE that VICReg begins: the sum as its parts make it, and a course that a resume keeps."""

import pytest
import torch

from twofold import TwofoldError
from twofold.losses import info_nce, vicreg
from twofold.method import Method
from twofold.networks import build_encoder
from twofold.objectives import Batch, InfoNCE, Unfolded

LINE = {"projector": (1,), "temperature": 0.1}

EUCLIDEAN = InfoNCE(**LINE, similarity="euclidean")


def method_of(objective):
    torch.manual_seed(0)
    return Method(build_encoder("mlp", channels=3, image_size=1), {"contrast": objective})


def batch_of(count=16):
    views = tuple(torch.randn(count, 3, 1, 1) for _ in range(2))
    return Batch(views=views, draws=({}, {}), index=torch.arange(count))


@pytest.mark.parametrize(
    ("progress", "weight"), [(0.0, 1.0), (0.2, 1.0), (0.25, 0.75), (0.4, 0.0), (1.0, 0.0)]
)
def test_the_loss_is_info_nce_and_what_is_left_of_vicreg(progress, weight):
    method, batch = method_of(Unfolded(**LINE, fading=0.4)), batch_of()
    method.after_update(progress)
    encoded = method.encoded(batch)
    first, second = method.projected(encoded)
    how = {"temperature": 0.1, "similarity": "euclidean"}
    contrast = (info_nce(first, second, **how) + info_nce(second, first, **how)) / 2
    expected = (1 - weight) * contrast + weight * vicreg(first, second)
    torch.testing.assert_close(method.losses(encoded)["contrast"], expected)


def test_in_the_end_it_is_info_nce():
    unfolded, plain, batch = method_of(Unfolded(**LINE)), method_of(EUCLIDEAN), batch_of()
    unfolded.after_update(0.5)
    assert torch.equal(unfolded(batch)["contrast"], plain(batch)["contrast"])


def test_how_far_it_is_belongs_to_the_weights():
    method, other = method_of(Unfolded(**LINE)), method_of(Unfolded(**LINE))
    method.after_update(0.3)
    other.load_state_dict(method.state_dict())
    batch = batch_of()
    assert torch.equal(method.eval()(batch)["contrast"], other.eval()(batch)["contrast"])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"fading": 0.0}, r"fading is 0.0; it must be in \(0, 1\]"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        ({"projector": ()}, "it needs one width or more"),
    ],
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(TwofoldError, match=words):
        Unfolded(**settings)
