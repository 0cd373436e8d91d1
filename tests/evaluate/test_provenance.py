import json
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from twofold.domains import Data, Source
from twofold.evaluate import evaluate, provenance
from twofold.evaluate.provenance import copies, sealed
from twofold.preprocess import measure


def source(count, seed):
    rng = np.random.default_rng(seed)
    items = rng.integers(0, 256, (count, 1, 4, 4), dtype=np.uint8)
    ids = [f"{seed}/{number}" for number in range(count)]
    return Source(name="toy", items=items, ids=ids, labels=rng.integers(0, 2, count))


@pytest.fixture
def data():
    return Data(name="toy", train=source(80, 0), test=source(30, 1), note="")


def found(data, **options):
    return evaluate(nn.Flatten(), data, measure(data.train.items), raw=False, **options)


def test_every_figure_has_the_hash_of_its_protocol(data):
    figures = found(data, probes=["knn", "linear"], k=5).figures
    for entry in figures.values():
        protocol = json.loads(json.dumps(entry["protocol"]))
        said = protocol.pop("hash")
        assert said == sealed(protocol)["hash"]
    assert figures["knn"]["protocol"]["hash"] != figures["linear"]["protocol"]["hash"]


@pytest.mark.parametrize("changed", [{"k": 6}, {"seed": 1}, {"precision": "bf16"}])
def test_another_protocol_or_other_items_have_another_hash(data, changed):
    said = found(data, probes=["knn"], k=5).figures["knn"]["protocol"]["hash"]
    again = found(data, probes=["knn"], k=5).figures["knn"]["protocol"]["hash"]
    other = found(data, probes=["knn"], **{"k": 5, **changed}).figures["knn"]["protocol"]["hash"]
    assert said == again != other
    elsewhere = replace(data, test=source(30, 2))
    assert found(elsewhere, probes=["knn"], k=5).figures["knn"]["protocol"]["hash"] != said


def test_test_items_that_were_trained_on_are_told(data):
    train = replace(data.train, items=np.concatenate([data.train.items[:77], data.test.items[:3]]))
    leaking = found(replace(data, train=train), probes=["knn"], k=5)
    assert leaking.remarks == ("3 test items are training items too, bit for bit",)
    assert leaking.figures["knn"]["protocol"]["copies"] == 3
    sound = found(data, probes=["knn"], k=5)
    assert sound.remarks == ()
    assert sound.figures["knn"]["protocol"]["copies"] == 0


def test_items_that_are_nearly_alike_are_no_copies_and_too_many_are_not_compared(monkeypatch):
    items = np.zeros((1300, 2, 2), np.float32)
    items[:, 0, 0] = np.arange(1300)
    other = items + np.float32(0.25)
    other[1299] = items[700]
    assert copies(items, other) == 1
    monkeypatch.setattr(provenance, "_MOST_BYTES", 10)
    assert copies(items, other) is None
