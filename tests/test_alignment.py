"""Two sources of the same items: what is learned across and within, from which rows, and kept."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import twofold
from twofold import Source, TwofoldError
from twofold.aligning import check_rows
from twofold.alignment import align, retrieved
from twofold.assembly import build_views, find_groups
from twofold.balance.settings import Balance
from twofold.config import load_config
from twofold.domains import Data
from twofold.domains.trajectory import measure
from twofold.domains.trajectory.domain import TrajectoryInput
from twofold.evaluate import partners
from twofold.folder import read_evaluation, read_metrics
from twofold.loader import Loader, Paired
from twofold.method import Aligned, Method
from twofold.objectives import Batch, InfoNCE, Known, SimCLR, Supervised
from twofold.optim import Optimizer
from twofold.simulation import simulate_trajectories
from twofold.simulation.trajectories import Conditions

QUICK = {
    "encoder": "mlp",
    "epochs": 2,
    "batch_size": 16,
    "threads": 1,
    "loader_threads": 0,
    "early_resolution": 1.0,
    "quiet": True,
}
ADAM = Optimizer(name="adamw", learning_rate=3e-3, scaling="none", weight_decay=0.0)
PLAIN = {
    domain: dict.fromkeys(twofold.recipes.recipe_by_name("info_nce", domain).prescription, "off")
    for domain in ("image", "trajectory")
}


def states(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 2)).astype(np.float32)


def pictures(of, size=8):
    """A bright spot where the state is."""
    grid = np.linspace(-1, 1, size)
    apart = (grid[:, None] - of[:, :1, None]) ** 2 + (grid - of[:, 1:, None]) ** 2
    return (255 * np.exp(-8 * apart)).astype(np.uint8)


def aligned(folder, of, beside, **changes):
    """Two small encoders, of pictures of some states and of others, without augmentations."""
    options = {**QUICK, "prescription": PLAIN["image"], "within": 0.0, **changes}
    aside = options.pop("beside_changes", {})
    aside = {"domain": "trajectory", "prescription": PLAIN["trajectory"]} | aside
    return align(data=pictures(of), beside=beside, out=folder, beside_changes=aside, **options)


def files(folder):
    return [
        load_file(part / f"{name}.safetensors")
        for part in (folder, folder / "beside")
        for name in ("encoder", "projector")
    ]


def same(one, other):
    return all(
        torch.equal(first[name], second[name])
        for first, second in zip(files(one), files(other), strict=True)
        for name in first
    )


# what is learned


class Flat(nn.Module):
    """An encoder that returns what it is given."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, items):
        return items.flatten(1)


def two_methods(**settings):
    torch.manual_seed(0)
    return [
        Method(Flat(dim), {"contrast": InfoNCE(projector=(6, 4), temperature=0.3, **settings)})
        for dim in (3, 5)
    ]


def batch_of(views):
    torch.manual_seed(1)
    shown = [torch.randn(7, dim, 1, 1) for dim in (3, 5) for _ in range(views)]
    return Batch(views=tuple(shown), draws=({},) * len(shown), index=torch.arange(7))


def cross_entropy(queries, keys, temperature):
    """InfoNCE from queries to keys in plain loops."""
    total = 0.0
    for i, query in enumerate(queries):
        logits = [float(query @ key / (query.norm() * key.norm())) / temperature for key in keys]
        total += math.log(sum(map(math.exp, logits))) - logits[i]
    return total / len(queries)


def test_the_losses_are_those_of_the_formulas():
    data, beside = two_methods()
    batch = batch_of(2)
    weights = {"data": {"contrast": 1.0}, "beside": {"contrast": 3.0}}
    losses = Aligned(data, beside, temperature=0.2, weights=weights)(batch)
    with torch.no_grad():
        z = [data.projector()(view.flatten(1)).double() for view in batch.views[:2]]
        w = [beside.projector()(view.flatten(1)).double() for view in batch.views[2:]]
    across = [
        cross_entropy(*pair, 0.2) for a, b in zip(z, w, strict=True) for pair in ((a, b), (b, a))
    ]
    assert losses["across"].item() == pytest.approx(np.mean(across), rel=1e-5)
    own = [(cross_entropy(a, b, 0.3) + cross_entropy(b, a, 0.3)) / 2 for a, b in (z, w)]
    assert losses["within"].item() == pytest.approx((own[0] + 3 * own[1]) / 2, rel=1e-5)


def test_one_view_is_enough_where_nothing_is_compared_within():
    batch = batch_of(2)
    first = replace(batch, views=batch.views[::2], draws=batch.draws[::2])
    losses = Aligned(*two_methods())(batch)
    assert list(losses) == ["across"]
    assert losses["across"] == Aligned(*two_methods())(first)["across"]


def test_gradients_of_both_losses_reach_both_encoders():
    weights = {side: {"contrast": 1.0} for side in ("data", "beside")}
    for name in ("across", "within"):
        method = Aligned(*two_methods(), weights=weights)
        method(batch_of(2))[name].backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in method.parameters())


def test_chance_and_floor_are_those_of_the_losses():
    weights = {"data": {"contrast": 1.0}, "beside": {"contrast": 3.0}}
    bounds = Aligned(*two_methods(), temperature=0.2, weights=weights).bounds(7)
    assert bounds["across"][0] == pytest.approx(math.log(7))
    assert bounds["within"][0] == pytest.approx((math.log(7) + 3 * math.log(7)) / 2)
    collapsed = [torch.ones(7, 4)] * 2
    assert bounds["within"][1] < cross_entropy(*collapsed, 0.3)
    assert Aligned(*two_methods()).bounds(7).keys() == {"across"}


def test_projectors_end_in_one_space():
    data, beside = two_methods()
    wider = Method(Flat(5), {"contrast": SimCLR(projector=(6, 8))})
    with pytest.raises(TwofoldError, match="end in 4 and 8 dimensions"):
        Aligned(data, wider)
    blind = Method(Flat(5), {"nothing": Supervised()}, known=Known(classes=3))
    with pytest.raises(TwofoldError, match="no objective of nothing has a projector"):
        Aligned(blind, beside)


# from which rows


def numbered(count, channels, groups=None):
    """Items that hold their row and nothing else."""
    rows = np.arange(count, dtype=np.float32)
    items = np.broadcast_to(rows[:, None, None, None], (count, channels, 1, 1)).copy()
    ids = [str(row) for row in range(count)]
    return Source(name=f"of {channels}", items=items, ids=ids, groups=groups, domain="trajectory")


@pytest.mark.parametrize("positives", ["augmentations", "group"])
@pytest.mark.parametrize("threads", [0, 2])
def test_views_of_both_sources_are_of_the_same_rows(positives, threads):
    recipe = twofold.recipes.recipe_by_name("info_nce", "trajectory")
    recipe = replace(recipe, positives=positives, prescription=PLAIN["trajectory"])
    groups, loaders = np.arange(60) // 4, []
    for channels in (2, 3):
        source = numbered(60, channels, groups)
        views = build_views(recipe, source, 5)
        loaders.append(
            Loader(
                source.items,
                None,
                views=views,
                preprocess=measure(source.items, TrajectoryInput(standardize=False)),
                batch_size=6,
                view_size=lambda step: 1,
                device="cpu",
                threads=threads,
                seed=5,
                groups=find_groups(recipe, source, views, 5),
            )
        )
    paired = Paired(*loaders)
    batches = list(paired.batches(1, paired.steps_per_epoch * 2))
    assert len(batches) == 2 * paired.steps_per_epoch - 1
    for batch in batches:
        rows = [view.flatten(1)[:, 0].long() for view in batch.views]
        assert torch.equal(rows[0], rows[2])
        assert torch.equal(rows[1], rows[3])
        assert torch.equal(rows[0], rows[1]) == (positives == "augmentations")
        assert torch.equal(batch.index, rows[0])


def test_items_find_each_other_if_rows_correspond_and_not_if_they_are_shuffled(tmp_path):
    of = states(400)
    noisy = of + np.random.default_rng(1).normal(0, 0.01, of.shape).astype(np.float32)
    how = {"epochs": 12, "batch_size": 64, "optimizer": ADAM}
    pair = aligned(tmp_path / "rows", of, noisy, **how)
    right = pair.retrieve(pictures(of), noisy)
    for way in ("forth", "back"):
        assert right[way]["r@10"]["ci95"][0] > 0.5  # chance 0.125
        assert right[way]["median_rank"]["value"] < 10  # chance 40.5
    shuffled = noisy[np.random.default_rng(2).permutation(400)]
    wrong = aligned(tmp_path / "shuffled", of, shuffled, **how).retrieve(pictures(of), noisy)
    for way in ("forth", "back"):
        assert wrong[way]["median_rank"]["ci95"][1] > 25
        assert wrong[way]["r@10"]["value"] < 0.35


def data_of(ids, *, groups=None, folder=None, name="a", tests=2):
    count = len(ids)
    items = np.full((count, 1, 4, 4), ord(name), np.uint8)
    whole = Source(name=name, items=items, ids=ids, groups=groups, folder=folder)
    parts = whole.take(range(count - tests)), whole.take(range(count - tests, count))
    return Data(name=name, train=parts[0], test=parts[1], note="")


def test_rows_that_correspond_are_accepted(tmp_path):
    names = [f"b/{n}" for n in range(6)]
    check_rows(data_of(list("abcdef")), data_of(list("abcdef"), name="b"))
    check_rows(
        data_of([f"{name}.png" for name in names], folder=tmp_path),
        data_of([f"{name}.jpg" for name in names], folder=tmp_path, name="b"),
    )


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        (
            {"ids": list("abcdef")},
            {"ids": list("abcde"), "name": "b"},
            "have 6 and 5 rows; row i of the one",
        ),
        (
            {"ids": list("abcdef")},
            {"ids": list("abcdfe"), "name": "b"},
            "where one has row e the other has f",
        ),
        (
            {"ids": list("abcdef")},
            {"ids": list("abcdef"), "name": "b", "tests": 3},
            "the other has none",
        ),
        (
            {"ids": list("abcdef"), "groups": np.arange(6)},
            {"ids": list("abcdef"), "name": "b"},
            "'a' has groups and 'b' has none; name the same",
        ),
        (
            {"ids": list("abcdef"), "name": "b"},
            {"ids": list("abcdef"), "groups": np.arange(6)},
            "'a' has groups and 'b' has none; name the same",
        ),
    ],
)
def test_rows_that_do_not_correspond_are_refused(one, other, says):
    with pytest.raises(TwofoldError, match=says) as refusal:
        check_rows(data_of(**one), data_of(**other))
    assert "\n" not in str(refusal.value)


def test_other_groups_hold_out_other_rows_and_are_refused(tmp_path):
    of = states(40)
    options = {"out": tmp_path / "r", **QUICK, "beside_changes": {"domain": "trajectory"}}
    data = twofold.open_data(pictures(of), groups=np.arange(40) // 4)
    beside = twofold.open_data(of, domain="trajectory", groups=np.arange(40) // 5)
    with pytest.raises(TwofoldError, match=r"do not correspond.*the same groups"):
        align(data=data, beside=beside, **options)
    assert not (tmp_path / "r").exists()


# how it goes on


def test_the_same_seed_gives_the_same_bits_and_so_does_a_run_that_was_stopped(
    tmp_path, interrupted_at
):
    of, drawn = states(60), {"within": 0.5, "beside_changes": {"prescription": {"noise": "both"}}}
    drawn["prescription"] = {**PLAIN["image"], "brightness": "sensitive", "crop": "invariant"}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    aligned(whole, of, of, **drawn)
    aligned(tmp_path / "again", of, of, **drawn, overwrite=True)
    aligned(tmp_path / "other", of, of, **drawn, seed=1)
    assert same(whole, tmp_path / "again")
    assert not same(whole, tmp_path / "other")
    with interrupted_at(4):
        aligned(stopped, of, of, **drawn)
    assert not (stopped / "encoder.safetensors").exists()
    assert not (stopped / "beside").exists()
    twofold.resume(stopped, data=pictures(of), beside=of, quiet=True)
    assert same(whole, stopped)
    steps = [line["step"] for line in read_metrics(stopped) if line["kind"] == "step"]
    assert steps == list(range(1, 7))


def test_a_run_goes_on_with_the_items_it_began_with(tmp_path, interrupted_at):
    of = states(60)
    with interrupted_at(2):
        aligned(tmp_path / "r", of, of)
    with pytest.raises(TwofoldError, match="the data has changed since the run began"):
        twofold.resume(tmp_path / "r", data=pictures(of), beside=2 * of, quiet=True)
    with pytest.raises(TwofoldError, match="this run was given an array in Python"):
        twofold.resume(tmp_path / "r", data=pictures(of), quiet=True)


# what is kept


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair") / "r"
    words = {"prescription": {**PLAIN["image"], "brightness": "invariant"}, "within": 0.5}
    return aligned(folder, states(80), states(80), **words)


def test_both_folders_are_those_of_runs(pair):
    of = states(80)
    for folder, items in zip(pair.folders, (pictures(of), of), strict=True):
        encoder = twofold.load(folder)
        assert encoder.embed(items, layer="projector.2").shape == (80, 128)
        losses = [line["losses"] for line in read_metrics(folder) if line["kind"] == "step"]
        assert [list(loss) for loss in losses] == [["across", "within"]] * len(losses)
        assert all("verdict" in x["health"] for x in read_metrics(folder) if x["kind"] == "epoch")
        assert twofold.Run(folder).config.command == "align"
        count = sum(weight.numel() for weight in encoder.backbone.parameters())
        assert read_metrics(folder)[-1]["parameters"] == count
    here, there = (load_config(folder / "config.yaml") for folder in pair.folders)
    assert (here.recipe.domain, there.recipe.domain) == ("image", "trajectory")
    assert (here.aligning.recipe, here.recipe) == (there.recipe, there.aligning.recipe)
    assert here.aligning.within == 0.5
    assert here.found["beside"] == there.found
    assert twofold.Run(pair.folders[1]).evaluate(of, quiet=True)["health"]["rankme"]["value"] > 0


def test_figures_of_both_ways_are_written_down(pair):
    of = states(80)
    here, there = map(read_evaluation, pair.folders)
    assert (here["forth"], here["back"]) == (there["back"], there["forth"])
    data = twofold.open_data(pictures(of))
    beside = twofold.open_data(of, domain="trajectory")
    first, second = (
        torch.from_numpy(encoder.embed(source.items, layer="projector.2"))
        for encoder, source in zip(pair.encoders, (data.test, beside.test), strict=True)
    )
    by_hand = partners(first, second)
    assert here["forth"]["r@5"] == by_hand["r@5"]
    assert here["forth"]["median_rank"]["value"] == by_hand["median_rank"]["value"]
    assert here["forth"]["protocol"]["chance"] == 1 / 16
    assert "r@1_untrained" in here["back"]
    assert json.loads(json.dumps(pair.retrieve(pictures(of), of))) == {
        way: {name: here[way][name] for name in by_hand} for way in ("forth", "back")
    }
    assert retrieved(pair.encoders, (data.test, beside.test)).keys() == {"forth", "back"}


def test_half_of_a_run_does_not_go_on_by_itself(pair):
    of = states(80)
    with pytest.raises(TwofoldError, match=r"is half of .*twofold align --resume"):
        twofold.resume(pair.folders[1], data=of, beside=pictures(of), quiet=True)
    run = twofold.pretrain("simclr", data=pictures(of), out=pair.folder.parent / "one", **QUICK)
    with pytest.raises(TwofoldError, match="has one source; leave beside out"):
        twofold.resume(run.folder, data=pictures(of), beside=of, quiet=True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"beside_changes": {"epochs": 3}}, "epochs of the source beside cannot be set"),
        ({"beside_changes": {"seed": 3}}, "settings of the source beside cannot be set"),
        ({"beside_changes": {"encodr": "mlp"}}, "did you mean 'encoder'"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be > 0"),
        ({"within": -1.0}, "within is -1.0; it must be >= 0"),
        ({"choose": "rankme"}, "choose is 'rankme', which looks at one encoder"),
        ({"positives": "group"}, "no two items of a group are compared"),
        ({"prescription": {"rotate": "sensitive"}}, "rotate is prescribed 'sensitive', but within"),
        (
            {"beside_changes": {"prescription": {"noise": "both"}}},
            "noise is prescribed 'both', but within is 0",
        ),
        ({"recipe": "supervised"}, "learns from labels, and two sources are aligned without"),
        ({"recipe": "simcrl"}, "did you mean 'simclr'"),
        ({"within": 1.0, "positives": "group"}, "has no groups"),
        ({"batch_size": 1}, "batch_size is 1"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, changes, says):
    with pytest.raises(TwofoldError, match=says) as refusal:
        aligned(tmp_path / "r", states(60), states(60), **changes)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "r").exists()


def test_a_source_is_not_aligned_with_itself_but_with_another_array_of_its_file(tmp_path):
    items = pictures(states(60))
    np.savez(tmp_path / "a.npz", images=items, inverted=255 - items)
    file, out = tmp_path / "a.npz", tmp_path / "r"
    options = {"data": file, "beside": file, "out": out, "key": "images", "within": 0, **QUICK}
    with pytest.raises(TwofoldError, match="hold the same values; name what else"):
        align(**options, beside_changes={"key": "images", "encoder": "mlp"})
    align(**options, beside_changes={"key": "inverted", "encoder": "mlp"})
    assert load_config(out / "config.yaml").aligning.data.key == "inverted"


@pytest.mark.parametrize(
    ("recipe", "changes"), [("vicreg", {"balance": Balance(name="uncertainty")}), ("byol", {})]
)
def test_other_methods_and_balancers_work_within(tmp_path, recipe, changes):
    words = {"prescription": {**PLAIN["image"], "brightness": "both"}, "within": 0.5}
    pair = aligned(tmp_path / "r", states(60), states(60), recipe=recipe, **words, **changes)
    steps = [line for line in read_metrics(pair.folder) if line["kind"] == "step"]
    assert steps[-1]["losses"].keys() == {"across", "within"}


def test_a_picture_of_a_pendulum_finds_its_state(tmp_path):
    """On orbits that training has not seen, far above chance and above random weights."""
    how = {"orbits": 200, "samples": 4, "seed": 1}
    for name, more in {
        "p": {"render": "images", "pixel_noise": 0.02},
        "v": {"noise": 0.02},
    }.items():
        simulate_trajectories(tmp_path / f"{name}.h5", "pendulum", Conditions(**how, **more))
    options = {**QUICK, "encoder": "resnet-small", "width": 0.25, "batch_size": 64, "epochs": 25}
    pair = align(
        data=tmp_path / "p.h5",
        beside=tmp_path / "v.h5",
        out=tmp_path / "r",
        group_key="orbit",
        within=0,
        prescription=PLAIN["image"],
        optimizer=ADAM,
        monitor_every=25,
        **options,
    )
    found = read_evaluation(pair.folder)
    for way in ("forth", "back"):
        assert found[way]["r@10"]["n"] == 160
        assert found[way]["r@10"]["ci95"][0] > 0.4  # chance 0.06
        assert found[way]["r@10"]["ci95"][0] > found[way]["r@10_untrained"]["ci95"][1]
        assert found[way]["median_rank"]["value"] < 12  # chance 80.5
        assert found[way]["median_rank_untrained"]["value"] > 40
