"""Losses that pull items of one class together."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from twofold.errors import TwofoldError, unknown
from twofold.losses.embeddings import check_cosine, check_temperature
from twofold.losses.similarities import Cosine
from twofold.losses.tiles import log_sum_exp

_VARIANTS = ("out", "in")


def sup_con(
    embeddings: Tensor,
    labels: Tensor,
    *,
    temperature: float,
    variant: Literal["out", "in"] = "out",
    shared: bool = False,
) -> Tensor:
    """Contrasts each row with all rows of its class against every other row.

    With `s_ij` the cosine similarities over `temperature` and `P(i)` the other rows of the class
    of row i:

    `out: loss = mean_i -(1 / |P(i)|) sum_{p in P(i)} log [exp s_ip / sum_{k != i} exp s_ik]`
    `in: loss = mean_i -log [(1 / |P(i)|) sum_{p in P(i)} exp s_ip / sum_{k != i} exp s_ik]`

    "in" is never the larger. A row without another of its class counts 0 and stays in the mean, as
    in the published code, which however multiplies the loss by temperature / 0.07. If every class
    is the two views of one item, both are `nt_xent`. Computed in float32 whatever the autocast
    (float64 inputs stay float64).

    Args:
        embeddings: One row for each view of each item `(rows, dim)`, rows >= 2, dim >= 2.
        labels: Class of each row `(rows,)`, integers.
        temperature: Divides the similarities; > 0. The published code uses 0.1.
        variant: Whether positives are averaged "out" of the logarithm, which the paper prefers,
            or "in" it.
        shared: Whether all processes have these embeddings and share the work, as objectives do.

    Returns:
        A scalar >= 0.

    Raises:
        TwofoldError: If shapes do not fit, labels are not integers, no two rows have the same
            label, dim is 1, temperature <= 0 or the variant is unknown.

    Example:
        >>> classes = torch.arange(4).repeat(4)
        >>> rows = torch.eye(4, dtype=torch.float64)[classes]
        >>> round(sup_con(rows, classes, temperature=0.5).item(), 10)
        1.5312651917

    Reference: Khosla et al., 2020, arXiv:2004.11362, equations 2 and 3.
    """
    _check(embeddings, labels)
    check_cosine("sup_con", embeddings)
    check_temperature(temperature)
    if variant not in _VARIANTS:
        raise unknown("variant", variant, _VARIANTS)
    _, names, members = torch.unique(labels, return_inverse=True, return_counts=True)
    count: Tensor = members[names] - 1
    anchors = count > 0
    if not anchors.any():
        raise TwofoldError(
            f"no two of the {len(labels)} rows have the same label; sup_con needs rows of one "
            "class in a batch: pass both views of each item, or larger batches"
        )
    cosine = Cosine(temperature)
    with torch.autocast(embeddings.device.type, enabled=False):
        (rows,) = cosine.prepare(embeddings)
        against = log_sum_exp(rows, similarity=cosine, without=(0,), shared=shared)[anchors]
        if variant == "out":
            # Similarities are linear in the other row: those to a class are one to its sum.
            sums = rows.new_zeros(len(members), rows.shape[1]).index_add(0, names, rows)
            agreement = cosine.of_partners(rows, sums[names] - rows)[anchors] / count[anchors]
        else:
            alike = log_sum_exp(
                rows[anchors],
                similarity=cosine,
                without=(0,),
                labels=names[anchors],
                shared=shared,
            )
            agreement = alike - count[anchors].to(alike.dtype).log()
        return (against - agreement).sum() / len(embeddings)


def _check(embeddings: Tensor, labels: Tensor) -> None:
    if embeddings.ndim != 2 or labels.shape != embeddings.shape[:1]:
        raise TwofoldError(
            "embeddings and labels must have shapes (rows, dim) and (rows,); they have "
            f"{tuple(embeddings.shape)} and {tuple(labels.shape)}"
        )
    if labels.is_floating_point() or labels.is_complex():
        raise TwofoldError(f"labels have type {labels.dtype}; they must be integers")
