"""One seed, one result: in other processes, with other numbers of threads where that can be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from twofold.assembly import build_views
from twofold.domains import Source
from twofold.loader import Loader
from twofold.preprocess import measure
from twofold.recipes import RECIPES

IMAGES = np.random.default_rng(0).integers(0, 256, (70, 3, 20, 20), dtype=np.uint8)
EVERY_RECIPE = """
import hashlib, json, sys, tempfile
import numpy as np
import twofold
sys.path.insert(0, sys.argv[1])
from test_contract import IMAGES, ITEMS, LABELS, ONE_OF_EACH, small

digests, place = {}, tempfile.mkdtemp(dir=sys.argv[2])
np.savez(f"{place}/items.npz", images=IMAGES, labels=LABELS, group=np.arange(ITEMS) // 2)
for name in ONE_OF_EACH:
    recipe = small(twofold.RECIPES[name](), epochs=1)
    group = {"group_key": "group"} if recipe.positives == "group" else {}
    out = f"{place}/{name}"
    data = f"{place}/items.npz"
    twofold.pretrain(recipe, data=data, out=out, quiet=True, threads=1, **group)
    weights = twofold.load(out).backbone.state_dict()
    raw = b"".join(weights[key].contiguous().numpy().tobytes() for key in sorted(weights))
    digests[name] = hashlib.sha256(raw).hexdigest()
print(json.dumps(digests))
"""


@pytest.mark.slow
def test_every_recipe_gives_the_same_bits_in_processes_that_order_sets_otherwise(tmp_path):
    contract = Path(__file__).parents[1] / "recipes"
    side_by_side = [
        subprocess.Popen(
            [sys.executable, "-c", EVERY_RECIPE, str(contract), str(tmp_path)],
            env={**os.environ, "PYTHONHASHSEED": number},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in "12"
    ]
    said = [process.communicate()[0] for process in side_by_side]
    assert [process.returncode for process in side_by_side] == [0, 0]
    found = [json.loads(words.splitlines()[-1]) for words in said]
    assert found[0] == found[1]
    assert len(found[0]) > 15


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["simclr", "mt_slvr", "simclr_v2"])
def test_batches_are_the_same_whatever_number_of_threads_computes_them(name, threads):
    recipe, preprocess = RECIPES[name](), measure(IMAGES)
    source = Source(name="toy", items=IMAGES, ids=[str(number) for number in range(70)])
    loader = Loader(
        IMAGES,
        None,
        views=build_views(recipe, source, 0),
        preprocess=preprocess,
        batch_size=64,
        view_size=lambda step: 20,
        device="cpu",
        threads=0,
        seed=0,
    )
    found = []
    for count in (1, 2, 3):
        threads(count)
        found.append(loader.batch(5).views)
    for others in found[1:]:
        assert all(map(torch.equal, found[0], others))
