"""What the documents' commands and code work on: a few items, and trainings of one epoch."""

import dataclasses
import os
import re
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from fences import command_lines
from PIL import Image
from sklearn.datasets import load_digits
from toy_jets import make_jets, write_jets
from toy_sounds import tone, write_sound

import twofold
from twofold import launch, proof
from twofold.cli import main
from twofold.domains import Source
from twofold.domains.image import builtin
from twofold.studies import carry

RUNS = {
    "runs/a": "pretrain simclr --data fashion-mnist --out runs/a --encoder resnet-small",
    "runs/b": "pretrain byol --data fashion-mnist --out runs/b --encoder resnet-small",
    "runs/tuned": "finetune runs/a --data fashion-mnist --out runs/tuned",
}
"""Runs that a page may use without making them."""

BRIEF = {
    ("decode", "_STEPS"): 40,
    ("decode", "_L2_GRID"): (1.0,),
    ("prescription", "_ROWS"): 1500,
}
"""What probes try and see, cut down."""

CLASSES = ("bag", "boot", "coat")


class Reader:
    """Follows a document, block by block, in a folder of its own."""

    def __init__(self, prepared, names):
        self.prepared, self.names = prepared, names

    def follow(self, block):
        """Runs a block of Python, or the commands of a shell block, as its reader would."""
        if block.language == "python":
            made = re.findall(r"out=.(runs/\w+)", block.text)
            self._provide(set(re.findall(r"runs/\w+", block.text)) - set(made))
            # The line numbers of a failure are those of the document.
            source = "\n" * block.line + block.text
            exec(compile(source, str(block.document), "exec"), self.names)
        elif block.language == "sh":
            for args in command_lines(block.text):
                self._provide(args[i] for i in range(len(args)) if args[i - 1] != "--out")
                command(args)

    def _provide(self, names):
        """Puts the runs that a page takes for granted where it looks for them."""
        for name in names:
            if name in RUNS and not Path(name).exists():
                shutil.copytree(self.prepared / name, name)


def command(args):
    """Runs `twofold` with these arguments; it must end well."""
    status = 0
    try:
        main(args)
    except SystemExit as end:
        status = end.code or 0
    assert status == 0, f"twofold {' '.join(args)} ends with status {status}"


@pytest.fixture(scope="module")
def in_short():
    """`fashion-mnist` is a few digits, trainings are of one epoch, probes and studies short."""
    digits, labels = load_digits(return_X_y=True)
    items = np.pad(
        digits.reshape(-1, 1, 8, 8).astype(np.uint8) * 15, [(0, 0), (0, 0), (2, 2), (2, 2)]
    )
    few = Source(
        name="fashion-mnist",
        items=items,
        ids=tuple(map(str, range(len(items)))),
        labels=labels,
        label_names=tuple(map(str, range(10))),
    )
    fit, chosen = launch.fit, proof._chosen
    train_and_judge, judged = carry._train_and_judge, {}

    def fit_briefly(method, loader, *, recipe, **options):
        return fit(method, loader, recipe=dataclasses.replace(recipe, epochs=1), **options)

    def train_and_judge_one(combination, seed, data, folder):
        """The first run of a study stands for the others."""
        key = folder.resolve()
        if key not in judged:
            judged[key] = train_and_judge(combination, seed, data, folder)
        run = {"run": carry._name(combination, seed), "values": combination.values, "seed": seed}
        return judged[key] | run

    def two_chosen(*args):
        """The first augmentations of a proof stand for the others."""
        return dict(list(chosen(*args).items())[:2])

    with pytest.MonkeyPatch.context() as patch:
        parts = few.take(range(180)), few.take(range(180, 270))
        patch.setattr(builtin, "_fashion_mnist", lambda cache: parts)
        patch.setattr(launch, "fit", fit_briefly)
        patch.setattr(carry, "_train_and_judge", train_and_judge_one)
        patch.setattr(proof, "_chosen", two_chosen)
        for (module, name), value in BRIEF.items():
            patch.setattr(import_module(f"twofold.evaluate.{module}"), name, value)
        patch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
        yield few


@pytest.fixture(scope="module")
def prepared(in_short, tmp_path_factory):
    """A folder with the runs that pages take for granted."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for line in RUNS.values():
            command(line.split())
    return folder


@pytest.fixture
def reader(in_short, prepared, tmp_path, monkeypatch):
    """A reader in a folder that holds the files which documents name."""
    images, labels = in_short.items[:120], np.arange(120) % len(CLASSES)
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", images)
    jets, classes, masses = make_jets(240)
    write_jets("qg.h5", jets, y=classes, m0=masses)
    np.savez("images.npz", images=images, labels=labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = Path("photos", CLASSES[label], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).save(path)
    Image.fromarray(images[0, 0]).save("boot.png")
    for number in range(120):
        bird = ("owl", "wren", "thrush")[number % 3]
        song = tone(0.3 + 0.1 * (number % 4), rate=16_000, frequency=500 + 10 * number)
        write_sound(Path("birds", bird, f"{number}.wav"), song, 16_000)
    return Reader(prepared, {"images": images, "labels": labels, "np": np, "twofold": twofold})
