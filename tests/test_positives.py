"""Positives by group, from the draw of members to a run that learns from them."""

import dataclasses
import re

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch.nn import functional as F

import twofold
from twofold import TwofoldError
from twofold.assembly import about_groups, build_views, find_groups, with_batches
from twofold.augment import IMAGE, Views
from twofold.cli import main
from twofold.clips import clips_of
from twofold.domains import Source, jet
from twofold.domains.names import domain_by_name
from twofold.hardware import detect
from twofold.loader import Loader
from twofold.monitor import Monitor
from twofold.objectives import InfoNCE
from twofold.positives import Groups, read
from twofold.preprocess import measure
from twofold.recipes import recipe_by_name
from twofold.report import run_folder, summary
from twofold.report.contact_sheet import chosen, rendered

SIZES = (1, 2, 3, 5, 2, 1, 4, 7)
GROUPS = np.random.default_rng(0).permutation(np.repeat(np.arange(len(SIZES)), SIZES))
OFF = dict.fromkeys(recipe_by_name("simclr", "image").prescription, "off")
SMALL = {"encoder": "resnet-small", "width": 0.25, "batch_size": 8, "quiet": True, "threads": 1}


def images(count, size=8, channels=1):
    shape = (count, channels, size, size)
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def source_of(groups, **changes):
    ids = [f"item {i}" for i in range(len(groups))]
    return Source(name="toy", items=images(len(groups)), ids=ids, groups=groups, **changes)


def recipe_of(prescription=OFF, **changes):
    recipe = recipe_by_name("simclr", "image")
    changes = {"positives": "group", "prescription": prescription, **changes}
    return dataclasses.replace(recipe, **changes)


def loader_of(source, recipe, *, batch_size=4, threads=0, seed=3):
    views = build_views(recipe, source, seed)
    return Loader(
        source.items,
        source.labels,
        views=views,
        preprocess=domain_by_name(recipe.domain).tools.measure(source.items),
        batch_size=batch_size,
        view_size=lambda step: 8,
        device="cpu",
        threads=threads,
        seed=seed,
        groups=find_groups(recipe, source, views, seed),
    )


@pytest.mark.parametrize("num_views", [2, 3, 6])
def test_members_are_of_one_group_and_repeat_only_once_all_were_shown(num_views):
    groups = Groups(GROUPS, num_views=num_views, seed=5)
    for epoch in range(20):
        shown = groups.members(np.arange(len(groups)), epoch)
        assert shown.shape == (len(SIZES), num_views)
        for size, name, items in zip(SIZES, groups.names, shown, strict=True):
            assert (GROUPS[items] == name).all()
            for start in range(0, num_views, size):
                some = items[start : start + size]
                assert len(set(some)) == len(some)
            counts = np.bincount(items, minlength=len(GROUPS))[np.flatnonzero(name == GROUPS)]
            assert counts.max() - counts.min() <= 1


def test_members_depend_on_seed_epoch_and_group_alone():
    rows = np.arange(len(SIZES))
    groups = Groups(GROUPS, num_views=2, seed=5)
    whole = groups.members(rows, 4)
    one_by_one = [groups.members(rows[i : i + 1], 4)[0] for i in rows[::-1]]
    assert np.array_equal(whole, one_by_one[::-1])
    assert np.array_equal(whole, Groups(GROUPS, num_views=2, seed=5).members(rows, 4))
    assert not np.array_equal(whole, groups.members(rows, 5))
    assert not np.array_equal(whole, Groups(GROUPS, num_views=2, seed=6).members(rows, 4))


def test_every_pair_of_a_group_comes_up_equally_often():
    groups = Groups(np.zeros(4), num_views=2, seed=0)
    pairs = np.concatenate([groups.members(np.zeros(1, np.int64), epoch) for epoch in range(2400)])
    counts = np.zeros((4, 4))
    np.add.at(counts, tuple(pairs.T), 1)
    assert (counts.diagonal() == 0).all()
    # 200 each; 5 standard deviations
    assert np.abs(counts[~np.eye(4, dtype=bool)] - 200).max() < 5 * np.sqrt(200 * 11 / 12)


@pytest.mark.parametrize("num_views", [2, 3, 6])
def test_members_far_apart_are_spread_over_the_time_of_their_group(num_views):
    times = np.random.default_rng(4).permutation(len(GROUPS)).astype(np.float64)
    groups = Groups(GROUPS, num_views=num_views, seed=5, times=times)
    seen = set()
    for epoch in range(40):
        shown = groups.members(np.arange(len(groups)), epoch)
        for name, items in zip(groups.names, shown, strict=True):
            own = np.flatnonzero(name == GROUPS)
            own = own[times[own].argsort()]
            places = np.rint(np.linspace(0, len(own) - 1, num_views)).astype(int)
            assert sorted(items) == sorted(own[places])
            if len(own) > 1:
                seen.add((int(name), int((items == own[0]).argmax())))
    assert {view for name, view in seen if name == 7} == set(range(num_views))  # each comes first


def test_the_earlier_member_is_the_first_view_of_every_other_group():
    groups = Groups(np.repeat(np.arange(100), 3), num_views=2, seed=0, times=np.arange(300.0))
    for epoch in range(3):
        first, last = groups.members(np.arange(100), epoch).T
        assert (np.abs(first - last) == 2).all()
        assert (first < last).sum() == 50
    assert not np.array_equal(groups.members(np.arange(100), 0), groups.members(np.arange(100), 1))


def test_members_far_apart_do_not_depend_on_who_else_is_asked_for():
    groups = Groups(GROUPS, num_views=2, seed=5, times=np.arange(len(GROUPS)) % 7.0)
    rows = np.arange(len(SIZES))
    one_by_one = [groups.members(rows[i : i + 1], 4)[0] for i in rows]
    assert np.array_equal(groups.members(rows, 4), one_by_one)


def test_times_are_needed_for_those_far_apart():
    recipe, source = recipe_of(positives="apart"), source_of(GROUPS)
    with pytest.raises(TwofoldError, match=r"'toy' has no times; name .* with --time-key"):
        find_groups(recipe, source, build_views(recipe, source, 0), 0)
    timed = dataclasses.replace(source, times=np.arange(float(len(GROUPS))))
    groups = find_groups(recipe, timed, build_views(recipe, timed, 0), 0)
    expected = Groups(GROUPS, num_views=2, seed=0, alone=False, times=timed.times)
    rows = np.arange(len(groups))
    assert np.array_equal(groups.members(rows, 1), expected.members(rows, 1))
    with pytest.raises(TwofoldError, match="positives is 'apart', but no objective"):
        dataclasses.replace(recipe_by_name("supervised", "image"), positives="apart")


@pytest.mark.parametrize(("alone", "count"), [(True, 8), (False, 6)])
def test_groups_of_one_are_counted_and_left_out_where_nothing_differs(alone, count):
    groups = Groups(GROUPS, num_views=2, seed=0, alone=alone)
    assert (len(groups), groups.num_single, groups.num_found) == (count, 2, 8)
    shown = groups.members(np.arange(count), 0)
    assert ((shown[:, 0] == shown[:, 1]).sum() == 2) == alone
    how = "paired with themselves" if alone else "left out, for their views would be alike"
    assert about_groups(groups) == (f"2 of 8 groups have one item: they are {how}",)


def test_batches_count_groups():
    groups = Groups(np.arange(120) % 40, num_views=2, seed=0)
    recipe, remarks = with_batches(recipe_of(batch_size=64), 120, groups)
    assert recipe.batch_size == 10
    assert remarks == ("40 groups fill no batch of 64: batches are of 10",)
    assert with_batches(recipe_of(batch_size=64), 120)[0].batch_size == 64


@pytest.mark.parametrize(
    ("words", "count"),
    [({}, 6), ({"flip": "sensitive"}, 6), ({"flip": "invariant"}, 8), ({"flip": "both"}, 8)],
)
def test_a_group_of_one_takes_part_if_two_views_of_its_item_can_differ(words, count):
    recipe, source = recipe_of({**OFF, **words}), source_of(GROUPS)
    assert len(find_groups(recipe, source, build_views(recipe, source, 0), 0)) == count


def test_groups_without_a_second_member_are_refused():
    with pytest.raises(TwofoldError, match="each of the 9 groups has one item"):
        Groups(np.arange(9), num_views=2, seed=0)


def test_an_epoch_shows_each_group_once_and_no_batch_one_twice():
    source = source_of(np.random.default_rng(2).integers(0, 24, 200).astype(str))
    loader = loader_of(source, recipe_of(), batch_size=6)
    assert loader.steps_per_epoch == 4
    orders = []
    for epoch in range(3):
        seen = [source.groups[loader.batch(4 * epoch + step).index] for step in range(4)]
        assert all(len(set(batch)) == 6 for batch in seen)
        assert len(set(np.concatenate(seen))) == 24
        orders.append([sorted(batch) for batch in seen])
    assert orders[0] != orders[1] != orders[2]


def test_pairs_do_not_depend_on_the_batch():
    source = source_of(np.random.default_rng(2).integers(0, 24, 200))
    recipe = recipe_of({**OFF, "crop": "invariant", "flip": "sensitive"})
    found = []
    for batch_size in (4, 8):
        loader = loader_of(source, recipe, batch_size=batch_size)
        batches = [loader.batch(step) for step in range(loader.steps_per_epoch)]
        index = torch.cat([batch.index for batch in batches])
        order = index.argsort()
        views = [torch.cat([batch.views[view] for batch in batches])[order] for view in (0, 1)]
        found.append((index[order], *views))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_loader_threads_change_no_bit():
    source = source_of(np.random.default_rng(2).integers(0, 24, 200))
    recipe = recipe_of({**OFF, "crop": "invariant"})
    plain, threaded = (
        list(loader_of(source, recipe, threads=threads).batches(2, 20)) for threads in (0, 2)
    )
    for one, other in zip(plain, threaded, strict=True):
        assert torch.equal(one.index, other.index)
        assert all(map(torch.equal, one.views, other.views))


def test_jets_that_are_kept_compressed_are_paired_as_others_are():
    jets = np.random.default_rng(0).exponential(size=(60, 3, 16, 16)).astype(np.float32)
    jets[np.random.default_rng(1).random(jets.shape) < 0.9] = 0
    kept = jet.open_data(jets, groups=np.arange(60) // 3).train
    dense = dataclasses.replace(kept, items=kept.items[:])
    recipe = dataclasses.replace(recipe_by_name("simclr", "jet"), positives="group")
    one, other = (loader_of(source, recipe).batch(1) for source in (kept, dense))
    assert torch.equal(one.index, other.index)
    assert all(map(torch.equal, one.views, other.views))


@pytest.mark.parametrize("small", [0, 2])
def test_each_view_is_that_of_its_own_item(small):
    """As the item alone would be drawn and rendered, were it not for what views share."""
    items = torch.rand(40, 3, 32, 32)
    words = {"crop": "invariant", "rotate": "invariant", "brightness": "invariant"}
    views = Views(IMAGE, words, channels=3, size=24, num_views=3, small_views=small)
    index = np.random.default_rng(0).integers(0, 40, (5, 3 + small))
    shown, draws = views(items[index.T.reshape(-1)], index, 7)
    for view in range(4 if small else 3):
        alone, drawn = views(items[index[:, view]], index[:, view], 7)
        assert torch.equal(shown[view], alone[view])
        for name in words:
            for key, values in drawn[view][name].items():
                assert np.array_equal(draws[view][name][key], values)
    assert [view.shape[-1] for view in shown] == [24, 24, 24] + [12] * small


@pytest.mark.parametrize("select", ["each", "subset"])
def test_what_views_share_is_drawn_for_the_first_ones_item(select):
    words = {"rotate": "sensitive", "brightness": "sensitive", "flip": "both"}
    views = Views(IMAGE, words, channels=3, size=8, select=select)
    index = np.random.default_rng(0).integers(0, 1000, (200, 2))
    draws = views.draw(np.tile(index, (2, 1)), 1, np.repeat([0, 1], 200))
    first = views.draw(index[:, 0], 1, 0)
    for name in ("rotate", "brightness"):
        for key, values in draws[name].items():
            assert np.array_equal(values[:200], values[200:])
            assert np.array_equal(values[:200], first[name][key])
    if select == "each":
        second = views.draw(index[:, 1], 1, 1)
        assert np.array_equal(draws["flip"]["applied"][200:], second["flip"]["applied"])


def test_a_view_that_repeats_the_first_has_its_draws_though_its_item_is_another():
    views = Views(
        IMAGE, {"rotate": "both"}, channels=3, size=8, num_views=3, repeats={"rotate": (2,)}
    )
    index = np.random.default_rng(0).integers(0, 1000, (100, 3))
    drawn = views.draw(np.tile(index, (3, 1)), 0, np.repeat([0, 1, 2], 100))["rotate"]
    first, second, third = np.split(drawn["turns"], 3)
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


def test_small_views_of_items_of_one_group_turn_step_by_step():
    views = Views(IMAGE, {"rotate": "both"}, channels=3, size=8, small_views=4)
    index = np.random.default_rng(0).integers(0, 1000, (50, 6))
    drawn = views.draw(np.tile(index, (6, 1)), 0, np.repeat(np.arange(6), 50))["rotate"]
    turned = drawn["turns"].reshape(6, 50)[2:, drawn["applied"].reshape(6, 50)[2]]
    assert (np.sort(turned, axis=0) == np.arange(4)[:, None]).all()


def test_items_shown_twice_are_read_once():
    class Counting(np.ndarray):
        asked: list = []  # noqa: RUF012 one for all its views

        def __getitem__(self, index):
            Counting.asked.append(index)
            return np.asarray(self)[index]

    items = images(9).view(Counting)
    index = np.array([[7, 2], [7, 7], [0, 2]])
    unit = read(items, index, measure(images(9)))
    assert len(Counting.asked) == 1
    assert Counting.asked[0].tolist() == [0, 2, 7]
    assert torch.equal(unit, measure(images(9)).unit(images(9)[[7, 7, 0, 2, 7, 2]]))


def test_the_monitor_pairs_items_of_one_group():
    source = source_of(np.repeat(np.arange(30), 3))
    recipe, preprocess = recipe_of(), measure(source.items)
    views = build_views(recipe, source, 0)
    groups = find_groups(recipe, source, views, 0)
    monitor = Monitor(
        source,
        None,
        views=views,
        preprocess=preprocess,
        hardware=detect(device="cpu"),
        groups=groups,
    )
    first, second = (_items_of(view, preprocess.unit(source.items)) for view in monitor.pair)
    assert np.array_equal(source.groups[first], np.arange(30))
    assert np.array_equal(source.groups[first], source.groups[second])
    assert (first != second).all()


def _items_of(views, unit):
    return torch.cdist(torch.from_numpy(views).flatten(1), unit.flatten(1)).argmin(dim=1).numpy()


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("nce", {}, "no objective of nce reads two views"),
        ("supervised", {}, "no objective of supervised reads two views"),
        ("loo_c", {}, "'contrast' of loo_c holds items of one group against each other"),
        (
            "info_nce",
            {"objectives": {"queued": InfoNCE(negatives="queue")}},
            "'queued' of info_nce holds items of one group against each other",
        ),
    ],
)
def test_objectives_that_compare_no_items_or_set_them_apart_are_refused(name, changes, message):
    recipe = recipe_by_name(name, "image")
    with pytest.raises(TwofoldError, match=message):
        dataclasses.replace(recipe, positives="group", **changes)


def test_labels_that_differ_within_a_group_are_not_learned_from():
    groups = np.repeat(np.arange(10), 2)
    recipe = dataclasses.replace(recipe_by_name("sup_con", "image"), positives="group")
    alike = source_of(groups, labels=groups % 3)
    views = build_views(recipe, alike, 0)
    assert len(find_groups(recipe, alike, views, 0)) == 10
    mixed = source_of(groups, labels=(np.arange(20) == 7).astype(np.int64))
    with pytest.raises(TwofoldError, match="labels differ within group 3, but sup_con takes"):
        find_groups(recipe, mixed, views, 0)


def run_of(folder, **changes):
    data = twofold.open_data(images(150, 12), groups=np.arange(150) % 50)
    changes = {"positives": "group", "epochs": 3, **SMALL, **changes}
    return twofold.pretrain("simclr", data=data, out=folder, **changes)


def test_a_run_that_was_stopped_goes_on_to_the_same_bits(tmp_path, interrupted_at):
    whole = run_of(tmp_path / "whole")
    with interrupted_at(7):
        stopped = run_of(tmp_path / "stopped")
    twofold.resume(tmp_path / "stopped", data=stopped.data, quiet=True)
    one, other = (load_file(run.folder / "encoder.safetensors") for run in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())["found"]["groups"] == 40


def test_a_run_does_not_go_on_with_other_groups(tmp_path, interrupted_at):
    with interrupted_at(2):
        run_of(tmp_path / "run")
    groups = np.arange(150) % 50
    groups[:50] = np.roll(groups[:50], 1)
    other = twofold.open_data(images(150, 12), groups=groups)
    with pytest.raises(TwofoldError, match="the data has changed"):
        twofold.resume(tmp_path / "run", data=other, quiet=True)


def test_the_report_says_where_positives_come_from(tmp_path):
    run = run_of(tmp_path / "run", epochs=1)
    assert ("Positives", "items of one group (40 groups)") in summary.facts(
        run_folder.read(run.folder)
    )
    page = run.report().read_text()
    assert "6 groups of training items" in page
    plain = run_of(tmp_path / "plain", epochs=1, positives="augmentations")
    assert "Positives" not in dict(summary.facts(run_folder.read(plain.folder)))


def test_pictures_show_items_of_one_group_by_their_ids():
    source = source_of(np.repeat([f"patient {i}" for i in range(10)], 3))
    recipe = recipe_of({**OFF, "flip": "invariant"})
    views = build_views(recipe, source, 0)
    groups = find_groups(recipe, source, views, 0)
    index, names = chosen(source, 4, seed=0, groups=groups)
    _, columns, captions, _ = rendered(source, views, index, 2, None, groups)
    assert len(columns) == len(captions) == 4
    for row, name in enumerate(names):
        for first, second in (captions[:2], captions[2:]):
            ids = [text[row].split("  ")[0] for text in (first, second)]
            assert ids[0] != ids[1]
            assert all(f"group {source.groups[source.ids.index(id)]}" == name for id in ids)


def test_groups_tell_what_no_augmentation_does(tmp_path):
    """Random patterns, each group of them in a colour of its own, which is all that it shares."""
    items, groups = _coloured(80, seed=0)
    data = twofold.open_data(items, groups=groups, test_fraction=0.05)
    changes = {**SMALL, "batch_size": 16, "epochs": 20, "monitor_every": 20}
    run = twofold.pretrain(
        "simclr",
        data=data,
        out=tmp_path / "run",
        positives="group",
        prescription=OFF,
        optimizer=twofold.Optimizer(learning_rate=0.3),
        **changes,
    )
    held_out, others = _coloured(40, seed=1)
    embedded = _same_group_is_nearest(run.encoder().embed(held_out), others)
    stored = _same_group_is_nearest(held_out.reshape(len(held_out), -1), others)
    assert stored < 0.1  # chance is 0.02
    assert embedded > 0.4


def _coloured(count, seed):
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2, (6 * count, 1, 4, 4)).repeat(3, 2).repeat(3, 3)
    ink = rng.uniform(60, 255, (count, 3, 1, 1)).repeat(6, 0)
    return (patterns * ink).astype(np.uint8), np.repeat(np.arange(count), 6)


def _same_group_is_nearest(features, groups):
    unit = F.normalize(torch.as_tensor(features).float(), dim=1)
    similarity = unit @ unit.T
    similarity.fill_diagonal_(-1)
    return float((groups[similarity.argmax(dim=1).numpy()] == groups).mean())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--positives group", "has no groups; name the array .* with --group-key"),
        ("--positives group --group-key pateint", "no array 'pateint'; did you mean 'patient'?"),
        ("--positives group --group-key each", "groups has one item"),
        ("--positives groups", "did you mean 'group'"),
        ("--positives group --group-key few", "there are 6 groups to train on"),
    ],
)
def test_mistakes_on_the_command_line_end_in_one_line(flags, message, tmp_path, capsys):
    path = tmp_path / "scans.npz"
    number = np.arange(60)
    np.savez(path, images=images(60), patient=number // 4, each=number, few=number % 8)
    out = tmp_path / "run"
    args = f"pretrain simclr --data {path} --out {out} --test-fraction 0.25 {flags}".split()
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code not in (0, None)
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1
    assert re.search(message, said), said
    assert not out.exists()


def test_preview_shows_groups(tmp_path):
    path, out = tmp_path / "scans.npz", tmp_path / "views.png"
    np.savez(path, images=images(60), patient=np.arange(60) // 4)
    flags = f"--data {path} --positives group --group-key patient --out {out}"
    with pytest.raises(SystemExit, match="0"):
        main(["preview", "simclr", *flags.split()])
    assert out.stat().st_size > 1000


class AsStored:
    """The scale of clips whose views are what is stored."""

    def unit(self, items, device):
        return torch.from_numpy(items).to(device)


def test_training_reads_another_window_of_a_clip_every_epoch():
    signal = np.arange(3000, dtype=np.float32).reshape(2, 1500)
    clips = clips_of(signal, 1, window=100, sample_rate=8000)

    def starts(index, **when):
        return read(clips, np.array(index), AsStored(), **when)[:, 0, 0, 0] % 1500

    drawn = torch.stack([starts([0, 1], seed=0, epoch=epoch) for epoch in range(300)])
    assert torch.equal(drawn[7], starts([0, 1], seed=0, epoch=7))
    assert torch.equal(drawn[7].flip(0), starts([1, 0], seed=0, epoch=7))
    assert not torch.equal(drawn[7], starts([0, 1], seed=1, epoch=7))
    assert drawn.min() < 60
    assert 1340 < drawn.max() <= 1400
    assert abs(drawn.mean() - 700) < 60
    assert (drawn[:, 0] != drawn[:, 1]).float().mean() > 0.9


def test_a_window_shown_twice_in_a_batch_is_one_window():
    signal = np.random.default_rng(0).normal(size=(3, 500)).astype(np.float32)
    clips = clips_of(signal, 1, window=100, sample_rate=8000)
    shown = read(clips, np.array([[0, 1], [1, 2]]), AsStored(), seed=0, epoch=3)
    assert shown.shape == (4, 1, 1, 100)
    assert torch.equal(shown[1], shown[2])
