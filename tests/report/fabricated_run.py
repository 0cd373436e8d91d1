"""A run folder as training and evaluation leave it, fabricated in a moment."""

import json

import numpy as np
import yaml

from twofold.augment import IMAGE, Views
from twofold.domains import Data, Source
from twofold.evaluate.prescription import judge

NAMES = ("<script>alert(1)</script>", "Coat & tie", "Ankle boot")
EPOCHS, STEPS = 3, 20


def source(name, count, *, channels=1, dtype=np.uint8, labelled=True, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int64) % len(NAMES)
    noise = rng.random((count, channels, 12, 12))
    items = (labels[:, None, None, None] + noise) / 3
    scale = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    return Source(
        name=name,
        items=(items * scale).astype(dtype),
        ids=[f"{name}/<b>{i}</b>.png" for i in range(count)],
        labels=labels if labelled else None,
        label_names=NAMES if labelled else (),
    )


def make_data(**options):
    train, test = source("train", 60, **options), source("test", 40, seed=1, **options)
    return Data(name="toy", train=train, test=test, note="toy: blobs & <i>noise</i>")


def make_views(data):
    words = {"crop": "invariant", "flip": "sensitive", "hue": "invariant", "blur": "off"}
    return Views(IMAGE, words, channels=data.train.channels, size=12)


def config(data):
    return {
        "recipe": {
            "name": "simclr",
            "objectives": {"contrast": {"projector": [1024, 128], "temperature": 0.5}},
            "prescription": {"crop": "invariant", "flip": "sensitive", "blur": "off"},
            "encoder": "resnet-small",
            "epochs": EPOCHS,
            "batch_size": 16,
            "optimizer": {"name": "sgd", "learning_rate": 0.03},
        },
        "data": {"data": "<img src=x onerror=alert(2)>"},
        "settings": {"seed": 7},
        "found": {
            "twofold": "0.1.0",
            "note": data.note,
            "fingerprint": data.train.fingerprint(),
            "train_items": len(data.train),
            "test_items": len(data.test),
            "preprocess": {},
            "hardware": {"device": "cpu", "precision": "float32", "threads": 2},
        },
    }


def records():
    for step in range(1, EPOCHS * STEPS + 1):
        loss = 3.4 - 0.01 * step
        yield {
            "kind": "step",
            "step": step,
            "epoch": (step - 1) // STEPS,
            "loss": loss,
            "losses": {"contrast": loss},
            "chance": {"contrast": 3.43},
            "floor": {"contrast": 2.01},
            "lr": 0.03,
            "images_per_s": 500.0 + step,
            "elapsed": 0.5 * step,
        }
        if step % STEPS == 0:
            yield {
                "kind": "epoch",
                "epoch": step // STEPS,
                "step": step,
                "knn": {"value": 0.5 + 0.005 * step, "ci95": [0.45, 0.85], "n": 100},
                "health": {
                    "std_ratio": 0.9,
                    "rankme": 20.0 + step,
                    "rank_fraction": 0.4,
                    "uniformity": -1.9,
                    "alignment": 0.3,
                    "verdict": "healthy",
                    "sentence": "Healthy: the features use many directions.",
                    "advice": "Nothing to change.",
                },
                "elapsed": 0.5 * step,
            }
    yield {
        "kind": "end",
        "step": EPOCHS * STEPS,
        "images_per_s": 530.0,
        "parameters": 1225824,
        "chosen": {
            "rule": "rankme",
            "epoch": 2,
            "best": {"rankme": {"epoch": 2, "value": 31.0}, "knn": {"epoch": 3, "value": 0.8}},
        },
        "elapsed": 30.0,
    }


def figure(value, n=40):
    return {"value": value, "ci95": [value - 0.05, value + 0.05], "n": n}


def evaluation():
    one = {
        "accuracy": figure(0.85),
        "accuracy_raw": figure(0.70),
        "accuracy_untrained": figure(0.82),
        "protocol": {"k": 20, "temperature": 0.07, "seed": 0},
    }
    return {"knn": one, "linear": {**one, "accuracy": figure(0.651)}}


def seen(value, word, *, chance=0.0, top=0.8, alike=0.6, metric="R²"):
    """What a proof writes down of one reading; its MLP probe gets half of the way to the top."""

    def decoded(value):
        return {"metric": metric, "chance": chance, **figure(value)}

    similarity = {"random": 0.0, "nearest": figure(0.4), **figure(alike)}
    evidence = {"similarity": similarity, "decoded": decoded(value)}
    evidence["decoded_mlp"] = decoded((value + top) / 2)
    return {**evidence, "verdict": judge(evidence, word, ceiling=top)}


def augmentation(word, readings, *, top=0.8, ceiling=0.8):
    """What a proof writes down of one augmentation, judged on its first reading."""
    reached = None
    if ceiling is not None:
        reached = {"metric": "R²", "chance": 0.0, **figure(ceiling)}
    judged_on = next(iter(readings))
    return {
        "word": word,
        "ceiling": reached,
        "top": top,
        "readings": readings,
        "judged_on": judged_on,
    }


def proof():
    """Four words of which that of `flip` was not achieved, and an augmentation without one."""
    return {
        "augmentations": {
            "crop": augmentation("invariant", {"features": seen(0.5, "invariant")}),
            "flip": augmentation(
                "sensitive",
                {
                    "features": seen(0.4, "sensitive"),
                    "projector.1": seen(-0.9, "sensitive"),
                },
            ),
            "hue": augmentation("both", {"features": seen(0.76, "both")}),
            "random_noise": augmentation(None, {"features": seen(0.08, None)}),
            "blur": augmentation("blind", {"features": seen(0.04, "blind")}),
        },
        "protocol": {"seed": 0, "ceiling_epochs": 2},
    }


def write_proof(run_dir, proof):
    text = json.dumps({**evaluation(), "prescription": proof})
    (run_dir / "evaluation.json").write_text(text)


def arrays(data):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % len(NAMES)
    predictions = labels.copy()
    predictions[:5] = (labels[:5] + 1) % len(NAMES)
    query = np.arange(0, 40, 2)
    return {
        "query_index": query,
        # The nearest six of eight share the class of the query.
        "neighbour_index": np.stack(
            [3 * np.arange(8) + (q + (np.arange(8) > 5)) % 3 for q in query]
        ),
        "neighbour_similarity": np.tile(np.linspace(0.99, 0.5, 8), (len(query), 1)),
        "map_index": np.arange(40),
        "map_features": (labels[:, None] + 0.1 * rng.random((40, 6))).astype(np.float32),
        "predictions": predictions,
    }


def fabricate(path, data):
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.yaml").write_text(yaml.safe_dump(config(data), sort_keys=False))
    lines = "".join(json.dumps(record) + "\n" for record in records())
    (path / "metrics.jsonl").write_text(lines)
    (path / "evaluation.json").write_text(json.dumps(evaluation()))
    np.savez_compressed(path / "evaluation.npz", **arrays(data))
    return path
