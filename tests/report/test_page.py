import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from fabricated_run import NAMES, fabricate, make_data, make_views

from twofold.errors import TwofoldError
from twofold.folder import METRICS, append
from twofold.report import write


class Page(HTMLParser):
    """What a browser would find: elements, ids, addresses and the text by section."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.ids, self.images, self.addresses = [], [], [], []
        self.text, self.section = {}, ""
        self.source = path.read_text()
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.images += [attrs] if tag == "img" else []
        keys = ("src", "href", "xlink:href", "action", "data", "srcset", "poster")
        self.addresses += [attrs[key] for key in keys if key in attrs]
        self.section = attrs["id"] if tag == "section" else self.section

    def handle_data(self, data):
        self.text[self.section] = self.text.get(self.section, "") + " " + " ".join(data.split())


def page_of(run_dir, *args):
    return Page(write(run_dir, *args))


def test_everything_is_there_and_nothing_comes_from_elsewhere(run_dir, data):
    page = page_of(run_dir, data, make_views(data))
    assert len(page.source) < 3_000_000
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"url\((?!#|\$\{data\.sprite\})", page.source)
    assert not re.search(r"@import|<link|<iframe|fetch\(|XMLHttpRequest", page.source)
    assert len(page.ids) == len(set(page.ids))
    assert {a[1:] for a in page.addresses if a.startswith("#")} <= set(page.ids)
    assert page.images
    assert all(image["alt"].strip() for image in page.images)


def test_it_says_which_epoch_the_encoder_is_from(run_dir, data):
    said = page_of(run_dir, data, make_views(data)).text["training"]
    assert "that of epoch 2, the best by effective rank (RankMe, no labels)." in said
    assert "by online kNN (labels of held-out training items) epoch 3." in said


def test_a_name_cannot_become_markup(run_dir, data):
    page = page_of(run_dir, data, make_views(data))
    assert "<script>alert" not in page.source
    assert "<img src=x" not in page.source
    assert "<b>0</b>" not in page.source
    assert page.tags.count("script") == 2
    assert NAMES[0] in page.text["map"]
    points = re.search(r'id="map-points">(.*?)</script>', page.source, re.DOTALL)
    assert set(json.loads(points[1])["names"]) == set(NAMES)


def test_figures_carry_interval_n_and_protocol(run_dir, data):
    text = page_of(run_dir, data).text["quality"]
    assert "85.0 %" in text
    assert "80.0 to 90.0 %" in text
    assert "Protocol: k 20, temperature 0.07, seed 0." in text
    assert "15.0 points above raw input" in text
    assert "3.0 points above the untrained network (the intervals overlap)" in text
    assert "The training has not paid off yet." in text  # the linear probe is below raw input


def test_the_loss_stands_between_chance_and_floor(run_dir, data):
    page = page_of(run_dir, data)
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", page.source)
    assert "chance 3.43" in labels
    assert "floor 2.01" in labels
    # 2.81 is the mean of the last three steps: (3.43 - 2.81) / (3.43 - 2.01) = 44 %.
    assert "gone 44 % of that way" in page.text["training"]


@pytest.mark.parametrize(
    ("early", "told"),
    [
        ({"early_resolution": 0.5, "early_share": 0.7}, True),
        ({"early_resolution": 1.0, "early_share": 0.7}, False),
        ({"early_resolution": 0.5, "early_share": 0.0}, False),
        ({"early_resolution": "half", "early_share": None}, False),
    ],
)
def test_a_step_in_the_loss_where_views_grow_is_explained(run_dir, data, early, told):
    config = yaml.safe_load((run_dir / "config.yaml").read_text())
    config["recipe"] |= early
    (run_dir / "config.yaml").write_text(yaml.safe_dump(config))
    words = "Views grow from 50 % of their size to the whole after 70 % of the training"
    assert (words in page_of(run_dir, data).text["training"]) is told


def test_neighbours_are_told_right_from_wrong_by_a_symbol(run_dir, data):
    text = page_of(run_dir, data).text["neighbours"]
    assert text.count("✓") == 12 * 6 + 1  # and once in the caption
    assert text.count("✗") == 12 * 2 + 1
    assert "6 of 8 alike; Coat & tie ×2" in text
    assert "Over all 20 test items drawn for this, 75.0" in text


def test_the_map_knows_which_points_are_wrong(run_dir, data):
    page = page_of(run_dir, data)
    points = json.loads(re.search(r'map-points">(.*?)</script>', page.source, re.DOTALL)[1])
    assert len(points["x"]) == 40
    assert [bool(w) for w in points["wrong"]] == [True] * 5 + [False] * 35
    assert points["wrong"][0] == NAMES[1]
    assert points["sprite"].startswith("data:image/")


def test_without_labels_classes_are_not_mentioned(tmp_path):
    data = make_data(labelled=False)
    run_dir = fabricate(tmp_path / "run", data)
    (run_dir / "evaluation.json").unlink()
    page = page_of(run_dir, data, make_views(data))
    assert "has not been evaluated" in page.text["quality"]
    assert "✓" not in page.text["neighbours"]
    assert "Points of one class" not in page.text["map"]
    assert page.images


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channels_and_type_can_be_shown(tmp_path, channels, dtype):
    data = make_data(channels=channels, dtype=dtype)
    page = page_of(fabricate(tmp_path / "run", data), data, make_views(data))
    assert ("first 3 of 5 channels" in page.source) == (channels == 5)
    assert ("mean of the 2 channels" in page.source) == (channels == 2)


def test_without_data_the_page_says_so_once_a_section(run_dir):
    page = page_of(run_dir)
    for section in ("views", "neighbours"):
        assert "The data was not at hand" in page.text[section]
    assert not page.images
    assert "40 test items" in page.text["map"]


def test_other_data_than_the_run_used_is_not_shown(run_dir):
    page = page_of(run_dir, make_data(dtype=np.uint16))
    assert "is not the data of this run" in page.text["neighbours"]
    assert not page.images


@pytest.mark.parametrize(
    "missing", ["config.yaml", "metrics.jsonl", "evaluation.json", "evaluation.npz"]
)
def test_any_file_may_be_missing(run_dir, data, missing):
    (run_dir / missing).unlink()
    page = page_of(run_dir, data, make_views(data))
    assert "cost" in page.ids


def test_a_run_that_has_only_begun(run_dir, data):
    for name in ("evaluation.json", "evaluation.npz"):
        (run_dir / name).unlink()
    first = (run_dir / "metrics.jsonl").read_text().splitlines()[0]
    (run_dir / "metrics.jsonl").write_text(first + "\n")
    page = page_of(run_dir, data, make_views(data))
    assert "has not ended: its last recorded step is 1." in page.text[""]
    assert "not been measured yet" in page.text["health"]


def test_a_loss_that_is_no_number_is_announced(run_dir, data):
    text = (run_dir / "metrics.jsonl").read_text().replace("3.39", "NaN")
    (run_dir / "metrics.jsonl").write_text(text)
    assert "not a finite number at step 1" in page_of(run_dir, data).text[""]


def test_steps_that_were_not_taken_are_announced(run_dir, data):
    for step in (19, 7, 19):  # a run that goes back writes it again
        append(run_dir / METRICS, json.dumps({"kind": "skipped", "step": step}) + "\n")
    said = "Not taken, for a loss or gradient was not finite: step 7, 19."
    assert said in page_of(run_dir, data).text[""]


def test_several_objectives_have_a_chart_each(run_dir, data):
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        if line["kind"] == "step":
            line["losses"]["predict/flip"] = 0.7
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = page_of(run_dir, data).text["training"]
    assert "Loss “predict/flip”: 0.700 over the last steps." in text


def test_writing_twice_gives_the_same_bytes(run_dir, data):
    views = make_views(data)
    assert write(run_dir, data, views).read_bytes() == write(run_dir, data, views).read_bytes()


@pytest.mark.slow
def test_the_page_stays_small_for_large_noisy_colour_images(tmp_path):
    rng = np.random.default_rng(0)
    data = make_data(channels=3)
    big = rng.integers(0, 256, (1500, 3, 96, 96), dtype=np.uint8)
    labels = np.arange(1500, dtype=np.int64) % 3
    test = replace(data.test, items=big, ids=[str(i) for i in range(1500)], labels=labels)
    train = replace(test, name="train")
    data = replace(data, train=train, test=test)
    run_dir = fabricate(tmp_path / "run", data)
    features = rng.normal(size=(1500, 8)).astype(np.float32)
    loaded = dict(np.load(run_dir / "evaluation.npz"))
    loaded |= {"map_index": np.arange(1500), "map_features": features, "predictions": labels}
    np.savez_compressed(run_dir / "evaluation.npz", **loaded)
    assert write(run_dir, data, make_views(data)).stat().st_size < 3_000_000


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(TwofoldError, match="does not exist"):
        write(tmp_path / "nothing")
    with pytest.raises(TwofoldError, match="not a run folder"):
        write(tmp_path)


def test_config_that_is_no_yaml_is_shown_as_it_is(run_dir, data):
    (run_dir / "config.yaml").write_text("a: [1,\n<b>")
    page = page_of(run_dir, data)
    assert "could not be read as YAML" in page.text[""]
    assert "a: [1, <b>" in page.text["run"]


def test_the_whole_configuration_is_in_the_page(run_dir, data):
    page = page_of(run_dir, data)
    written = " ".join(
        yaml.safe_dump(
            yaml.safe_load((run_dir / "config.yaml").read_text()), sort_keys=False
        ).split()
    )
    assert written in page.text["run"]
