"""The plan of the stages: what begins from what, and what is refused before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest

from twofold import TwofoldError, recipes
from twofold.config import Config
from twofold.stages import PUBLISHED, Stages, load_stages
from twofold.tuning import Tuning


def stages(tuning=None, distill=None, **changes):
    recipe = replace(recipes.simclr_v2(), **changes)
    tuning = tuning or PUBLISHED
    return Stages(whole=Config(recipe=recipe, tuning=tuning), distill=distill or recipes.distill())


def test_each_run_begins_from_the_one_before():
    made = stages(Tuning(label_fraction=0.1, layer="projector.2"), encoder="resnet34")
    runs = made.runs(Path("s"))
    assert list(runs) == ["pretrain", "finetune", "distill", "pretrain_student", "direct"]
    begun = [runs[name].tuning for name in ("finetune", "direct")]
    assert [tuning.start for tuning in begun] == ["s/pretrain", "s/pretrain_student"]
    assert all(tuning.baseline and tuning.label_fraction == 0.1 for tuning in begun)
    assert all(tuning.layer == "projector.2" for tuning in begun)
    assert runs["distill"].distilling.teacher == "s/finetune"
    assert all(runs[name].tuning is None for name in ("pretrain", "distill", "pretrain_student"))
    large, small = runs["pretrain"].recipe, runs["pretrain_student"].recipe
    assert (large.encoder, small.encoder) == ("resnet34", "resnet-small")
    assert replace(small, encoder="resnet34") == large  # nothing else differs
    assert made.networks == ("resnet34", "resnet-small")


def test_a_student_of_the_same_network_is_compared_with_its_teacher():
    assert list(stages(encoder="resnet-small").runs(Path("s"))) == [
        "pretrain",
        "finetune",
        "distill",
    ]
    wide = replace(recipes.distill(), width=2.0)
    assert "direct" in stages(encoder="resnet-small", distill=wide).runs(Path("s"))
    assert stages(distill=wide).networks == ("resnet18", "resnet-small, width 2")


def test_a_layer_that_the_recipe_does_not_train_is_refused():
    with pytest.raises(TwofoldError, match=r"layer of simclr_v2 'projector\.4'.*mean 'projector"):
        stages(Tuning(layer="projector.4"))
    supervised = Config(recipe=recipes.supervised(), tuning=Tuning(layer="projector.1"))
    with pytest.raises(TwofoldError, match=r"\(known: features\)"):
        Stages(whole=supervised)
    assert "direct" in Stages(whole=replace(supervised, tuning=Tuning())).runs(Path("s"))


def test_a_stage_that_learns_something_else_is_refused():
    with pytest.raises(TwofoldError, match="is a Supervised; this stage learns by Distill alone"):
        stages(distill=recipes.finetune())
    with pytest.raises(TwofoldError, match="is a SimCLR; this stage learns by Supervised alone"):
        Stages(whole=stages().whole, finetune=recipes.simclr())


@pytest.mark.parametrize("given", [{"start": "runs/a"}, {"scratch": True}])
def test_what_fine_tuning_begins_with_is_not_to_be_chosen(given):
    with pytest.raises(TwofoldError, match="leave out start and scratch"):
        stages(Tuning(**given))


def test_a_plan_is_read_back_and_no_other_takes_its_place(tmp_path):
    made = stages(Tuning(labels_per_class=5), epochs=7)
    made.save(tmp_path)
    made.save(tmp_path)  # the same may be gone on with
    assert load_stages(tmp_path) == made
    with pytest.raises(TwofoldError, match=r"stages: recipe\.epochs is 7 there and 8 here"):
        stages(Tuning(labels_per_class=5), epochs=8).save(tmp_path)
    assert load_stages(tmp_path) == made
    headless = Stages(whole=Config(recipe=recipes.supervised(), tuning=Tuning()))
    headless.save(tmp_path / "headless")
    assert load_stages(tmp_path / "headless") == headless


def test_a_folder_without_a_plan_is_refused(tmp_path):
    with pytest.raises(TwofoldError, match=r"has no semisupervise\.yaml"):
        load_stages(tmp_path)
    for text, message in {"a: [": "is no valid YAML", "a: 1": "describes no stages"}.items():
        (tmp_path / "semisupervise.yaml").write_text(text)
        with pytest.raises(TwofoldError, match=message) as caught:
            load_stages(tmp_path)
        assert "\n" not in str(caught.value)
