"""Objectives that remember: InfoNCE with a queue, NCE with a vector for every item."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twofold import Method, TwofoldError, losses
from twofold.objectives import NCE, Batch, InfoNCE, Known, SupCon, Supervised


class Flat(nn.Module):
    """The items themselves as features."""

    num_features = 8

    def forward(self, items):
        return items


def batch_of(index, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = tuple(torch.randn(len(index), 8, generator=generator) for _ in range(2))
    return Batch(views=views, draws=({}, {}), index=torch.tensor(index))


def test_a_queue_holds_the_second_views_of_the_batches_before():
    objective = InfoNCE(projector=(4,), negatives="queue", queue=6, temperature=0.2)
    method = Method(Flat(), {"contrast": objective})
    heads = method.heads["contrast"]
    first, second = batch_of(range(3)), batch_of(range(3), seed=1)
    method(first)
    before = heads.queue.rows.clone()
    keys = F.normalize(heads.projector(first.views[1]), dim=1)
    torch.testing.assert_close(before[:3], keys.detach())
    loss = method(second)["contrast"]
    query, key = (heads.projector(view) for view in second.views)
    expected = losses.info_nce(query, key, temperature=0.2, negatives=before)
    torch.testing.assert_close(loss, expected)
    loss.backward()  # the queue has moved on, which the gradient must not mind


@pytest.mark.parametrize("negatives", ["cross", "all"])
def test_both_directions_count_alike(negatives):
    objective = InfoNCE(projector=(4,), negatives=negatives)
    method, batch = Method(Flat(), {"contrast": objective}), batch_of(range(5))
    swapped = Batch(views=batch.views[::-1], draws=batch.draws, index=batch.index)
    torch.testing.assert_close(method(batch)["contrast"], method(swapped)["contrast"])


def test_one_dimension_is_for_distances_alone():
    assert InfoNCE(projector=(4, 1), similarity="euclidean").projector[-1] == 1
    with pytest.raises(TwofoldError, match=r"\(4, 1\).* in one dimension a cosine is -1 or \+1"):
        InfoNCE(projector=(4, 1))
    method = Method(Flat(), {"contrast": InfoNCE(projector=(1,), similarity="euclidean")})
    assert method(batch_of(range(5)))["contrast"].isfinite()


def test_nce_estimates_its_normaliser_once_and_remembers_what_it_saw():
    torch.manual_seed(0)
    objective = NCE(projector=(4,), noise=5, momentum=0.25, temperature=0.5)
    method = Method(Flat(), {"contrast": objective}, known=Known(items=20))
    heads, batch = method.heads["contrast"], batch_of([3, 19, 7])
    before = heads.memory.rows.clone()
    embeddings = F.normalize(heads.projector(batch.views[0]), dim=1)

    torch.manual_seed(1)
    loss = method(batch)["contrast"]
    torch.manual_seed(1)
    drawn = torch.randint(20, (3, 5))[[0, 2, 1]]  # by the items' numbers
    noise = (embeddings[:, None] * before[drawn]).sum(dim=2) / 0.5
    normaliser = 20 * noise.exp().mean().item()
    assert heads.memory.normaliser.item() == pytest.approx(normaliser, rel=1e-5)
    positive = (embeddings * before[batch.index]).sum(dim=1) / 0.5
    expected = losses.nce(positive, noise, items=20, normaliser=normaliser)
    torch.testing.assert_close(loss, expected)
    loss.backward()

    kept = F.normalize(0.25 * before[batch.index] + 0.75 * embeddings, dim=1)
    torch.testing.assert_close(heads.memory.rows[batch.index], kept.detach())
    untouched = torch.ones(20, dtype=torch.bool)
    untouched[batch.index] = False
    assert torch.equal(heads.memory.rows[untouched], before[untouched])
    method(batch_of([0, 1, 2], seed=2))
    assert heads.memory.normaliser.item() == pytest.approx(normaliser, rel=1e-5)


def test_chance_of_nce_is_that_of_equal_scores():
    scores = torch.zeros(1, 4)
    chance = losses.nce(scores[:, 0], scores, items=9, normaliser=9.0)
    assert NCE(noise=4).bounds(2)[0] == pytest.approx(chance.item())
    assert chance.item() == pytest.approx(math.log(5) + 4 * math.log(5 / 4))


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (NCE(), "NCE keeps a vector for every item, so it must know how many"),
        (SupCon(), "SupCon learns from classes, and these items have none"),
        (Supervised(), "Supervised learns from labels, and these items have none"),
    ],
)
def test_what_is_not_known_is_asked_for(objective, words):
    with pytest.raises(TwofoldError, match=words):
        Method(Flat(), {"it": objective})
