"""Embeddings of earlier steps: the oldest go first, and a bank's rows move by the momentum."""

import pytest
import torch
from torch.nn import functional as F

from twofold.networks import Memory


def test_rows_begin_as_unit_vectors():
    torch.testing.assert_close(Memory(50, 8).rows.norm(dim=1), torch.ones(50))


@pytest.mark.parametrize("batch", [1, 2, 3, 5, 12])
def test_a_queue_holds_the_latest(batch):
    memory, pushed = Memory(5, 3), torch.randn(4 * batch, 3)
    for start in range(0, len(pushed), batch):
        memory.push(pushed[start : start + batch])
    latest = F.normalize(pushed[-5:], dim=1)
    held = {tuple(row) for row in memory.rows.tolist()}
    assert held >= {tuple(row) for row in latest.tolist()}


def test_a_bank_keeps_a_share_of_what_it_held():
    memory, fresh = Memory(4, 3), torch.randn(2, 3)
    before = memory.rows.clone()
    memory.blend(torch.tensor([2, 0]), fresh, momentum=0.75)
    mixed = F.normalize(0.75 * before[[2, 0]] + 0.25 * F.normalize(fresh, dim=1), dim=1)
    torch.testing.assert_close(memory.rows[[2, 0]], mixed)
    assert torch.equal(memory.rows[[1, 3]], before[[1, 3]])


def test_no_gradient_reaches_what_is_remembered():
    memory, embeddings = Memory(4, 3), torch.randn(2, 3, requires_grad=True)
    memory.push(embeddings)
    memory.blend(torch.tensor([1, 3]), embeddings, momentum=0.5)
    assert not memory.rows.requires_grad
    assert not any(memory.parameters())
