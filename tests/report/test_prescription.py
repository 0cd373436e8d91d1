import copy
import re

import pytest
import yaml
from fabricated_run import augmentation, config, proof, seen, write_proof

from twofold.evaluate.prescription import judge
from twofold.report import write
from twofold.report.prescription import awaits_proof
from twofold.report.prescription import proof as shown
from twofold.report.run_folder import RunFolder


def run_with(found, path="."):
    return RunFolder(path, evaluation={"prescription": found})


def with_words(words, **options):
    return RunFolder(".", config={"recipe": {"prescription": words}}, **options)


def section(run_dir):
    page = write(run_dir).read_text()
    found = re.search(r'<section id="prescription".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def words_of(markup):
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def rows_of(markup):
    """The markup of each row of the figure by the name of its augmentation."""
    rows = re.split(r'<div class="row">', markup.split('<div class="head foot"')[0])[1:]
    return {re.search(r"<b>(.*?)</b>", row)[1]: row for row in rows}


def test_words_that_were_achieved_are_counted_and_the_others_named(run_dir):
    write_proof(run_dir, proof())
    markup = section(run_dir)
    assert "✗ 3 of 4 words achieved; not for flip" in words_of(markup)
    said = {name: words_of(row) for name, row in rows_of(markup).items()}
    assert said["flip"].endswith("✗ not achieved 0.50, needs ≥ 0.90")
    assert said["hue"].endswith("✓ achieved 0.95, needs ≥ 0.90")
    assert said["blur"].endswith("✓ achieved 0.05, needs ≤ 0.10")
    assert said["crop"].endswith("✓ achieved alike 0.60, needs ≥ 0.50")
    assert said["random noise"].endswith("nothing prescribed ignored (0.10)")
    for name, word in {"flip": "sensitive", "hue": "both", "blur": "blind"}.items():
        assert f'<span class="tag {word}">{word}</span>' in rows_of(markup)[name]


def test_all_words_achieved_are_good_news(run_dir):
    found = proof()
    del found["augmentations"]["flip"]
    write_proof(run_dir, found)
    assert '<p class="verdict good">✓ 3 of 3 words achieved</p>' in section(run_dir)


def test_the_section_comes_right_after_the_headline_figures(run_dir):
    write_proof(run_dir, proof())
    page = write(run_dir).read_text()
    assert re.findall(r'<section id="(\w+)"', page)[:2] == ["prescription", "run"]
    assert page.index('class="tiles"') < page.index('<section id="prescription"')


def test_shares_are_those_of_the_verdict_and_intervals_go_with_them():
    reading = seen(0.5, "both", chance=0.25, top=0.85, alike=0.3)
    found = run_with(
        {"augmentations": {"hue": augmentation("both", {"features": reading}, top=0.85)}}
    )
    [lane] = shown(found).rows[0].lanes
    verdict = judge(reading, "both", ceiling=0.85)
    assert lane.share.value == pytest.approx(verdict["share"])
    assert lane.alike.value == pytest.approx(verdict["alike"])
    assert (lane.share.low, lane.share.high) == pytest.approx((0.2 / 0.6, 0.3 / 0.6))
    assert lane.mlp.value == pytest.approx((0.675 - 0.25) / 0.6)


def test_dots_and_zones_lie_where_their_shares_are(run_dir):
    write_proof(run_dir, proof())
    rows = rows_of(section(run_dir))
    # The axis goes from -0.15 to 1.15, so that a half lies in the middle.
    flip, blur, crop = rows["flip"], rows["blur"], rows["crop"]
    assert '<svg class="mark linear" x="50.00%"' in flip
    assert '<svg class="mark mlp" x="69.23%"' in flip  # 0.75 of the way
    assert '<line class="bar" x1="45.19%" x2="54.81%"' in flip  # 0.35 / 0.8 and 0.45 / 0.8
    assert '<rect class="zone asked" x="80.77%" width="19.23%"' in flip
    assert '<rect class="zone asked" x="0.00%" width="19.23%"' in blur
    assert '<rect class="zone asked" x="50.00%" width="50.00%"' in crop
    assert "zone asked" not in rows["random noise"]
    for row in rows.values():
        assert {"0.00%", "50.00%", "80.77%"} == set(
            re.findall(r'class="zone[^"]*" x="([^"]+)"', row)
        )


def test_every_reading_has_a_dot_and_the_decisive_one_a_hollow_one_too(run_dir):
    write_proof(run_dir, proof())
    row = rows_of(section(run_dir))["flip"]
    assert re.findall(r'class="reading([^"]*)">([^<]+)<', row) == [
        (" decisive", "features"),
        ("", "projector 1"),
    ]
    assert row.count('class="mark linear"') == 2 * 2
    assert row.count('class="mark mlp"') == 1


def test_what_lies_beyond_the_axis_is_drawn_at_its_end_as_a_triangle(run_dir):
    write_proof(run_dir, proof())
    row = rows_of(section(run_dir))["flip"]
    assert re.search(r'<svg class="mark linear" x="0.00%" y="50%"><path d="M4-5L-5 0L4 5Z"', row)
    places = re.findall(r'(?:x|x1|x2)="(-?[\d.]+)%"', row)
    assert all(0 <= float(place) <= 100 for place in places)


def test_the_table_holds_every_figure_with_its_interval_and_protocol(run_dir):
    write_proof(run_dir, proof())
    table = words_of(section(run_dir)).split("All figures of the proof")[1]
    assert "flip sensitive R², chance 0.000, ceiling 0.800 (0.750 to 0.850)" in table
    assert (
        "features ★ 0.400 0.350 to 0.450 0.50 0.44 to 0.56 0.60 0.55 to 0.65 "
        "40.0 % 35.0 to 45.0 % 0.600 0.550 to 0.650 partly kept ✗ not achieved"
    ) in table
    assert "projector 1 −0.900 −0.950 to −0.850 −1.12" in table
    assert "learned on training items and were judged on 40 test items" in table
    assert "trained for 2 epochs to recover this augmentation and nothing else" in table
    assert "blind is erased for linear probes alone" in table


def test_a_proof_without_blind_or_ceilings_does_not_speak_of_them(run_dir):
    readings = {"features": seen(0.5, "both", top=1.0)}
    alone = augmentation("both", readings, top=1.0, ceiling=None)
    write_proof(run_dir, {"augmentations": {"hue": alone}})
    said = words_of(section(run_dir))
    assert "ceiling 1.000, as none was trained" in said
    assert "No ceiling was trained: 1 stands for it" in said
    assert "blind" not in said


def test_a_reading_above_the_ceiling_is_named():
    one = augmentation("both", {"features": seen(0.9, "both", top=0.9)}, top=0.9)
    [row] = shown(run_with({"augmentations": {"hue": one}})).rows
    assert row.measured.endswith("ceiling 0.800 (0.750 to 0.850); a reading here reaches 0.900")


def test_a_route_decides_where_it_is_judged_on():
    readings = {"invariant": seen(0.1, "both"), "sensitive": seen(0.8, "both")}
    one = {**augmentation("both", readings), "judged_on": "sensitive"}
    [row] = shown(run_with({"augmentations": {"hue": one}})).rows
    assert [(lane.reading, lane.decisive) for lane in row.lanes] == [
        ("invariant route", False),
        ("sensitive route", True),
    ]
    assert row.achieved


def test_augmentations_with_the_same_word_stand_together():
    rows = shown(run_with(proof())).rows
    assert [row.word for row in rows] == ["sensitive", "both", "blind", "invariant", ""]


def test_nothing_prescribed_is_nothing_achieved_or_missed():
    one = augmentation(None, {"features": seen(0.5, None)})
    found = shown(run_with({"augmentations": {"hue": one}}))
    assert found.good is None
    assert found.headline == "Nothing was prescribed: this is what embeddings keep"
    assert not found.words


def test_without_a_proof_the_page_tells_how_to_get_one(run_dir):
    said = words_of(section(run_dir))  # the run was told to be sensitive to flips
    assert f"twofold prove {run_dir} shows what embeddings keep" in said
    assert "achieved" not in said


@pytest.mark.parametrize("words", [{"crop": "invariant", "blur": "off"}, {}, None, ["blind"]])
def test_there_is_no_section_where_there_is_nothing_to_prove(run_dir, data, words):
    recipe = {**config(data)["recipe"], "prescription": words}
    (run_dir / "config.yaml").write_text(yaml.safe_dump({**config(data), "recipe": recipe}))
    assert 'id="prescription"' not in write(run_dir).read_text()
    assert 'href="#prescription"' not in write(run_dir).read_text()


@pytest.mark.parametrize("word", ["sensitive", "both", "blind"])
def test_a_word_that_training_alone_cannot_show_awaits_its_proof(word):
    assert awaits_proof(with_words({"crop": "invariant", "hue": word}))
    proved = {"prescription": proof()}
    assert not awaits_proof(with_words({"hue": word}, evaluation=proved))


@pytest.mark.parametrize("found", [[], "text", 3, {}, {"augmentations": 3}, {"augmentations": {}}])
def test_a_proof_that_is_none_is_said_to_be_unreadable(run_dir, found):
    write_proof(run_dir, found)
    assert "The proof in evaluation.json could not be read." in words_of(section(run_dir))


def places(tree, path=()):
    """The path to every value in nested mappings and lists."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in entries:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


@pytest.mark.parametrize("rubbish", [None, "?", [], {}, float("nan"), True])
def test_whatever_is_damaged_the_other_augmentations_are_shown(rubbish):
    for path in places(proof()["augmentations"]["flip"]):
        damaged = proof()
        inner = damaged["augmentations"]["flip"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = rubbish
        found = shown(run_with(copy.deepcopy(damaged)))
        names = [row.name for row in found.rows]
        assert {"crop", "hue", "blur"} <= set(names)
        assert ("flip" in names) == (not found.unread)


def test_what_is_missing_is_named_and_the_rest_is_shown(run_dir):
    found = proof()
    del found["augmentations"]["flip"]["readings"]["projector.1"]["similarity"]
    write_proof(run_dir, found)
    said = words_of(section(run_dir))
    assert "What the proof says of flip could not be read." in said
    assert "3 of 3 words achieved" in said


def test_names_cannot_become_markup(run_dir):
    readings = {"<b>route</b>": seen(0.1, "both")}
    one = augmentation("both", readings)
    one["readings"]["<b>route</b>"]["verdict"]["does"] = "<script>"
    strange = augmentation("<i>word</i>", {"features": seen(0.1, None)})
    write_proof(run_dir, {"augmentations": {"<img src=x>": one, "y": strange, "<u>": None}})
    markup = section(run_dir)
    assert not re.search(r"<b>route|<script>|<img|<i>word|<u>", markup)
    assert "&lt;b&gt;route&lt;/b&gt; route" in markup
    assert "&lt;img src=x&gt;" in markup


def test_a_word_without_a_verdict_is_not_called_missed():
    one = augmentation("both", {"features": seen(0.8, None)})
    found = shown(run_with({"augmentations": {"hue": one}}))
    assert found.rows == []
    assert "hue could not be read" in found.unread
