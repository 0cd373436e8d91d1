"""What holds for every loss, each as a function of two views of 6 items in 4 dimensions."""

import pytest
import torch

from twofold.losses import (
    barlow_twins,
    byol,
    info_nce,
    nce,
    negative_cosine,
    noise_variance,
    nt_xent,
    same_orbit,
    square_ratio,
    sup_con,
    vicreg,
)

# Rounded to what every type holds, so that a loss means the same in each.
FIXED = torch.randn(12, 4, generator=torch.Generator().manual_seed(9)).bfloat16().double()
TARGETS = FIXED.chunk(2)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 3, 1, 1, 2])

OF_DIRECTIONS = {
    "nt_xent": lambda a, b: nt_xent(a, b, temperature=0.3),
    "info_nce cross": lambda a, b: info_nce(a, b, temperature=0.3),
    "info_nce all": lambda a, b: info_nce(a, b, temperature=0.3, negatives="all"),
    "info_nce queue": lambda a, b: info_nce(a, b, temperature=0.3, negatives=FIXED.to(a.dtype)),
    "sup_con out": lambda a, b: sup_con(torch.cat([a, b]), LABELS, temperature=0.3),
    "sup_con in": lambda a, b: sup_con(torch.cat([a, b]), LABELS, temperature=0.3, variant="in"),
    "negative_cosine": lambda a, b: negative_cosine(torch.cat([a, b]), FIXED.to(a.dtype)),
    "byol": lambda a, b: byol((a, b), tuple(target.to(a.dtype) for target in TARGETS)),
}
OF_DISTANCES = {
    "info_nce euclidean cross": lambda a, b: info_nce(
        a, b, temperature=0.3, similarity="euclidean"
    ),
    "info_nce euclidean all": lambda a, b: info_nce(
        a, b, temperature=0.3, similarity="euclidean", negatives="all"
    ),
    "info_nce euclidean queue": lambda a, b: info_nce(
        a, b, temperature=0.3, similarity="euclidean", negatives=FIXED.to(a.dtype)
    ),
    "nce": lambda a, b: nce(a[:, 0], b, items=20, normaliser=30.0),
    "barlow_twins": barlow_twins,
    "vicreg": vicreg,
    "noise_variance": lambda a, b: noise_variance(
        torch.stack([a, b]), torch.stack([target.to(a.dtype) for target in TARGETS])
    ),
    "square_ratio": lambda a, b: square_ratio(torch.stack([a, b])),
    "same_orbit": lambda a, b: same_orbit(a, b, torch.tensor(-0.5), torch.tensor(1.0)),
}
every_loss = pytest.mark.parametrize(
    "loss", [pytest.param(loss, id=name) for name, loss in (OF_DIRECTIONS | OF_DISTANCES).items()]
)
of_directions = pytest.mark.parametrize(
    "loss", [pytest.param(loss, id=name) for name, loss in OF_DIRECTIONS.items()]
)


def value_and_gradients(loss, *views, autocast=False):
    views = [view.clone().requires_grad_() for view in views]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        value = loss(*views)
    return value.detach(), *torch.autograd.grad(value, views)


@every_loss
def test_gradients_match_finite_differences(loss, embeddings):
    views = tuple(view.requires_grad_() for view in embeddings(6, 4))
    assert torch.autograd.gradcheck(loss, views, eps=1e-6, rtol=1e-6, atol=1e-8)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_computed_in_float32_whatever_the_embeddings_type(loss, dtype, embeddings):
    views = [view.to(dtype) for view in embeddings(6, 4)]
    value = loss(*views)
    assert value.dtype == torch.float32
    assert value.shape == ()
    assert torch.equal(value, loss(*(view.float() for view in views)))


@every_loss
def test_float64_stays(loss, embeddings):
    assert loss(*embeddings(6, 4)).dtype == torch.float64


@every_loss
def test_autocast_does_not_reach_the_loss(loss, embeddings):
    views = [view.float() for view in embeddings(6, 4)]
    outside = value_and_gradients(loss, *views)
    inside = value_and_gradients(loss, *views, autocast=True)
    assert all(torch.equal(one, other) for one, other in zip(inside, outside, strict=True))


@every_loss
def test_leaves_its_inputs_alone(loss, embeddings):
    views = embeddings(6, 4)
    before = [view.clone() for view in views]
    loss(*views)
    assert all(torch.equal(view, old) for view, old in zip(views, before, strict=True))


@every_loss
@pytest.mark.parametrize("value", [0.0, 0.1, 1e4])
def test_finite_where_all_embeddings_are_the_same(loss, value):
    same = torch.full((6, 4), value)
    assert all(torch.isfinite(part).all() for part in value_and_gradients(loss, same, same))


@every_loss
def test_finite_where_the_views_coincide(loss, embeddings):
    view, _ = (view.float() for view in embeddings(6, 4))
    assert all(torch.isfinite(part).all() for part in value_and_gradients(loss, view, view))


@of_directions
def test_length_does_not_matter(loss, embeddings):
    first, second = embeddings(6, 4)
    lengths = torch.linspace(0.01, 100, 6, dtype=torch.float64).unsqueeze(1)
    scaled = loss(first * lengths, second * lengths.flip(0))
    assert scaled.item() == pytest.approx(loss(first, second).item(), rel=1e-12)


@of_directions
def test_gradient_is_orthogonal_to_each_embedding(loss, embeddings):
    views = embeddings(6, 4)
    _, *gradients = value_and_gradients(loss, *views)
    for view, gradient in zip(views, gradients, strict=True):
        assert gradient.abs().max() > 1e-3
        assert (view * gradient).sum(dim=1).abs().max() < 1e-15
