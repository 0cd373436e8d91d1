"""Losses whose tiles two processes share, against one process with all similarities at once."""

from functools import partial

import pytest
import torch
from processes import WORLD, results_of

from twofold.distributed import average_gradients, gather
from twofold.losses import info_nce, nt_xent, sup_con, tiles

BATCH, DIM = 11, 5
LABELS = torch.arange(2 * WORLD * BATCH) % 7
QUEUE = torch.randn(37, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LOSSES = {
    "nt_xent": nt_xent,
    "cross": info_nce,
    "all": lambda a, b, **t: info_nce(a, b, negatives="all", **t),
    "queue": lambda a, b, **t: info_nce(a, b, negatives=QUEUE, **t),
    "euclidean": lambda a, b, **t: info_nce(a, b, similarity="euclidean", **t),
    "out": lambda a, b, **t: sup_con(torch.cat([a, b]), LABELS, **t),
    "in": lambda a, b, **t: sup_con(torch.cat([a, b]), LABELS, variant="in", **t),
}
TEMPERATURES = (0.5, 0.001)  # at the second, exponents do not fit without a shift


def data():
    generator = torch.Generator().manual_seed(0)
    views = torch.randn(2, WORLD * BATCH, DIM, dtype=torch.float64, generator=generator)
    weight = torch.randn(DIM, DIM, dtype=torch.float64, generator=generator)
    return *views, weight


def found(loss, first, second, weight, take):
    """Value and gradient of a loss of views that pass through a weight."""
    weight = torch.nn.Parameter(weight.clone())
    value = loss(take(first @ weight), take(second @ weight))
    value.backward()
    average_gradients([weight])
    return value.detach(), weight.grad


def on_process(number, results):
    """Every loss of a share of the rows, gathered, and the tiles that were computed for it."""
    tiles._TILE, tiles._DENSE, tiles._DENSE_SYMMETRIC, tiles.SHARED_PAIRS = 4, 0, 0, 0
    first, second, weight = data()
    mine = slice(number * BATCH, (number + 1) * BATCH)
    computed, values = [], tiles._Comparison.values
    tiles._Comparison.values = lambda *given: computed.append(1) or values(*given)
    for name, loss in LOSSES.items():
        for temperature in TEMPERATURES:
            for shared in (False, True):
                computed.clear()
                asked = partial(loss, temperature=temperature, shared=shared)
                views = (first[mine], second[mine])
                value, slope = found(asked, *views, weight, gather)
                case = (number, name, temperature, shared)
                results[case] = (value.item(), slope.tolist(), len(computed))


@pytest.mark.slow
def test_processes_share_the_tiles_and_find_the_same():
    results = results_of(on_process)
    for name, loss in LOSSES.items():
        for temperature in TEMPERATURES:
            value, slope = found(partial(loss, temperature=temperature), *data(), gather)
            counts = {}
            for shared in (False, True):
                for number in range(WORLD):
                    case = (number, name, temperature, shared)
                    other, gradient, counts[shared, number] = results[case]
                    assert other == pytest.approx(value.item(), rel=1e-12), case
                    gradient = torch.tensor(gradient, dtype=torch.float64)
                    assert torch.allclose(gradient, slope, rtol=1e-9, atol=1e-12), case
            assert counts[True, 0] + counts[True, 1] == counts[False, 0]
            assert min(counts[True, 0], counts[True, 1]) > counts[False, 0] / 3
