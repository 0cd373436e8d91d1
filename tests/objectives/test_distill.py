"""Distillation's loss against closed forms, and which labels it looks at."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from twofold import Method, TwofoldError
from twofold.objectives import Batch, Distill, Known, Supervised

ITEMS, FEATURES, CLASSES = 6, 8, 3


class Flat(nn.Module):
    """The items themselves as features."""

    num_features = FEATURES

    def forward(self, items):
        return items


def batch(labels=None):
    views = torch.randn(ITEMS, FEATURES, generator=torch.Generator().manual_seed(0))
    return Batch(views=(views,), draws=({},), index=torch.arange(ITEMS), labels=labels)


def method(objective, **known):
    torch.manual_seed(1)
    known = {"classes": CLASSES, "teacher": nn.Linear(FEATURES, CLASSES), **known}
    return Method(Flat(), {"distill": objective}, known=Known(**known))


def loss(objective, labels=None, **known):
    return method(objective, **known)(batch(labels))["distill"]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_gradient_of_the_logits_is_the_difference_of_the_answers(temperature):
    """T (softmax(q / T) - softmax(t / T)) / B."""
    made = method(Distill(temperature=temperature))
    caught = {}

    def keep(module, read, logits):
        logits.retain_grad()
        caught["logits"] = logits

    made.heads["distill"].classifier.register_forward_hook(keep)
    one = batch()
    made(one)["distill"].backward()
    logits, taught = caught["logits"], made.known.teacher(one.views[0])
    answers = [torch.softmax(found / temperature, dim=1) for found in (logits, taught)]
    expected = temperature * (answers[0] - answers[1]) / ITEMS
    torch.testing.assert_close(logits.grad, expected, rtol=1e-4, atol=1e-6)
    assert made.known.teacher.weight.grad is None


def test_a_student_that_agrees_costs_the_entropy_of_the_answers_and_moves_no_more():
    made = method(Distill(temperature=3.0))
    teacher = made.known.teacher
    made.heads["distill"].classifier[0].load_state_dict(teacher.state_dict())
    one = batch()
    found = made(one)["distill"]
    answers = torch.softmax(teacher(one.views[0]) / 3, dim=1)
    entropy = torch.special.entr(answers).sum(dim=1).mean()
    torch.testing.assert_close(found, 9 * entropy)
    found.backward()
    assert made.heads["distill"].classifier[0].weight.grad.abs().max() < 1e-6


def test_shares_add_the_loss_of_the_labels():
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    alone = loss(Supervised(), labels)
    torch.testing.assert_close(loss(Distill(teacher_share=0.0), labels), alone)
    taught = loss(Distill(temperature=2.0))
    mixed = loss(Distill(temperature=2.0, teacher_share=0.3), labels)
    torch.testing.assert_close(mixed, 0.7 * alone + 0.3 * taught)


def test_labels_that_may_not_be_used_change_nothing():
    labelled = torch.tensor([True, False, False, True, False, False])
    objective = Distill(teacher_share=0.4)
    labels = torch.tensor([0, 1, 2, 1, 1, 2])
    found = loss(objective, labels, labelled=labelled)
    others = torch.where(labelled, labels, 0)
    assert torch.equal(found, loss(objective, others, labelled=labelled))
    few = Method(Flat(), {"s": Supervised()}, known=Known(classes=CLASSES))
    few.heads["s"].load_state_dict(method(objective).heads["distill"].state_dict())
    rows = labelled.nonzero()[:, 0]
    part = Batch(views=(batch().views[0][rows],), draws=({},), index=rows, labels=labels[rows])
    expected = 0.6 * few(part)["s"] + 0.4 * loss(Distill())
    torch.testing.assert_close(found, expected)


def test_a_batch_without_labels_has_the_teacher_alone():
    nobody = torch.zeros(ITEMS, dtype=torch.bool)
    labels = torch.zeros(ITEMS, dtype=torch.int64)
    torch.testing.assert_close(
        loss(Distill(teacher_share=0.25), labels, labelled=nobody), 0.25 * loss(Distill())
    )
    objective = method(Distill(teacher_share=0.0), labelled=nobody)
    assert objective(batch(labels))["distill"] == 0


def test_numbers_are_taught_by_squared_error():
    known = {"classes": 0, "target_mean": (5.0, 0.0), "target_std": (2.0, 1.0)}
    teacher = nn.Linear(FEATURES, 2)
    made = method(Distill(temperature=7.0), teacher=teacher, **known)
    one = batch()
    outputs = made.heads["distill"].regressor(one.views[0])
    expected = F.mse_loss(outputs, teacher(one.views[0]))
    torch.testing.assert_close(made(one)["distill"], expected)
    targets = torch.from_numpy(np.random.default_rng(0).normal(size=(ITEMS, 2))).float()
    mixed = loss(Distill(teacher_share=0.5), targets, teacher=teacher, **known)
    alone = loss(Supervised(), targets, teacher=teacher, **known)
    torch.testing.assert_close(mixed, (alone + expected) / 2)


def test_the_teacher_is_no_part_of_what_is_saved_or_trained():
    teacher = nn.Sequential(nn.BatchNorm1d(FEATURES), nn.Linear(FEATURES, CLASSES)).eval()
    made = method(Distill(), teacher=teacher).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    made(batch())["distill"].backward()
    assert not teacher[0].training
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())
    assert set(made.state_dict()) == {f"heads.distill.classifier.0.{n}" for n in ("weight", "bias")}


def test_low_precision_is_not_for_the_loss():
    teacher = nn.Linear(FEATURES, CLASSES).to(torch.bfloat16)
    found = method(Distill(), teacher=lambda views: teacher(views.to(torch.bfloat16)))
    assert found(batch())["distill"].dtype == torch.float32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"temperature is 0.0; it must be > 0"),
        ({"temperature": math.nan}, r"temperature is nan; it must be > 0"),
        ({"teacher_share": 1.5}, r"teacher_share is 1.5; it must be in \[0, 1\]"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(TwofoldError, match=message):
        Distill(**settings)


def test_there_must_be_a_teacher():
    with pytest.raises(TwofoldError, match="name a fine-tuned run with `twofold distill TEACHER"):
        method(Distill(), teacher=None)
