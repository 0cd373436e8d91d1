"""The encoder a run ends with: the last, or that of the best epoch by a measure."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import twofold
from twofold import TwofoldError
from twofold.choice import Choice
from twofold.folder import METRICS, read_metrics

EPOCHS = [(1, 3.0, 0.5), (2, 9.0, 0.4), (3, 9.0, 0.7), (4, 2.0, 0.6)]  # epoch, RankMe, kNN


def record(epoch, rankme, knn):
    return {
        "kind": "epoch",
        "epoch": epoch,
        "health": {"rankme": rankme},
        "knn": None if knn is None else {"value": knn},
    }


def filled(value):
    module = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(module.weight, value)
    return module


@pytest.mark.parametrize(("rule", "epoch"), [("last", 4), ("rankme", 2), ("knn", 3)])
@pytest.mark.parametrize("stopped", [0, 1, 2, 3, 4])
def test_the_first_best_epoch_is_chosen_even_if_the_run_was_stopped(tmp_path, rule, epoch, stopped):
    choice = Choice(tmp_path, rule)
    for number, line in enumerate(EPOCHS):
        if number == stopped:  # written down so far, and forgotten by the process
            (tmp_path / METRICS).write_text(
                "".join(json.dumps(record(*line)) + "\n" for line in EPOCHS[:number])
            )
            choice = Choice(tmp_path, rule)
            choice.recall()
        choice.consider(record(*line), filled(line[0]))
    encoder = filled(4)
    chosen = choice.conclude(encoder, last=4)
    assert chosen["rule"] == rule
    assert chosen["epoch"] == epoch
    assert chosen["best"] == {
        "rankme": {"epoch": 2, "value": 9.0},
        "knn": {"epoch": 3, "value": 0.7},
    }
    assert encoder.weight.tolist() == [[epoch, epoch]]


def test_without_labels_only_rankme_measures(tmp_path):
    choice = Choice(tmp_path, "last")
    choice.consider(record(1, 5.0, None), filled(1))
    assert choice.best.keys() == {"rankme"}
    assert not list(tmp_path.iterdir())  # the last needs nothing kept


SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 16, "threads": 1, "quiet": True}


def test_a_run_ends_with_the_encoder_it_chose_and_says_so(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 1, 12, 12), dtype=np.uint8)
    twofold.pretrain(data=images, out=tmp_path, epochs=4, choose="rankme", **SMALL)
    lines = read_metrics(tmp_path)
    ranks = {line["epoch"]: line["health"]["rankme"] for line in lines if line["kind"] == "epoch"}
    best = max(ranks, key=ranks.get)
    assert lines[-1]["chosen"] == {
        "rule": "rankme",
        "epoch": best,
        "best": {"rankme": {"epoch": best, "value": ranks[best]}},
    }
    kept = load_file(tmp_path / "candidates" / "rankme.safetensors")
    saved = load_file(tmp_path / "encoder.safetensors")
    assert all(torch.equal(kept[f"encoder.{name}"], saved[name]) for name in saved)
    head = load_file(tmp_path / "projector.safetensors")  # of the same epoch
    assert all(torch.equal(kept[f"heads.contrast.projector.{name}"], head[name]) for name in head)


def test_choosing_by_labels_needs_labels(tmp_path):
    images = np.zeros((80, 1, 12, 12), np.uint8)
    images[::2] = 255
    with pytest.raises(TwofoldError, match="choose is 'knn', but the online kNN has no labels"):
        twofold.pretrain(data=images, out=tmp_path / "run", choose="knn", **SMALL)
