import dataclasses

import pytest
import yaml

from twofold import TwofoldError
from twofold.config import Config, Settings, from_plain, load_config, to_plain
from twofold.recipes import RECIPES, simclr


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_the_round_trip(tmp_path, name):
    whole = Config(recipe=RECIPES[name]())
    whole.save(tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == whole


def test_changed_values_survive_the_round_trip(tmp_path):
    recipe = simclr()
    contrast = dataclasses.replace(recipe.objectives["contrast"], temperature=0.07)
    recipe = dataclasses.replace(
        recipe,
        objectives={"contrast": contrast},
        prescription={**recipe.prescription, "rotate": "invariant"},
        weights={"contrast": 2.0},
        early_resolution=0.25,
        stem="strided",
    )
    whole = Config(recipe=recipe, settings=Settings(seed=5), found={"note": "ünï"})
    whole.save(tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == whole


def edited(tmp_path, edit):
    path = tmp_path / "config.yaml"
    plain = to_plain(Config(recipe=simclr()))
    edit(plain)
    path.write_text(yaml.safe_dump(plain))
    return path


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c["recipe"].update(epoch=3), "unknown key 'recipe.epoch'; did you mean"),
        (lambda c: c.update(setings={}), "unknown key 'setings'; did you mean 'settings'"),
        (
            lambda c: c["recipe"]["objectives"]["contrast"].update(temprature=1),
            "did you mean 'recipe.objectives.contrast.temperature'",
        ),
        (
            lambda c: c["recipe"]["prescription"].update(rotat="off"),
            "did you mean 'recipe.prescription.rotate'",
        ),
        (lambda c: c["recipe"].update(epochs="many"), "recipe.epochs is 'many'; it must be of"),
        (
            lambda c: c["recipe"].update(epochs=True),
            "recipe.epochs is True; it must be of type int",
        ),
        (lambda c: c["recipe"].update(encode="jointly"), "did you mean 'joint'"),
        (lambda c: c["recipe"].update(name="simcrl"), "unknown recipe 'simcrl'; did you mean"),
        (lambda c: c["recipe"].update(optimizer=3), "recipe.optimizer is 3; it must be a mapping"),
        (
            lambda c: c["recipe"]["augmentations"]["crop"].update(scale=[0.1]),
            r"recipe.augmentations.crop.scale has 1 values; it must have 2",
        ),
        (lambda c: c["recipe"]["objectives"]["contrast"].update(temperature=-1), "must be > 0"),
    ],
)
def test_a_key_or_value_that_nothing_reads_is_refused(tmp_path, edit, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        load_config(edited(tmp_path, edit))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[1, 2", "just words", "recipe: 3", "\x00"])
def test_what_is_no_run_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(TwofoldError) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_a_whole_number_will_do_for_a_float():
    value = from_plain(Settings(), {"checkpoint_seconds": 5}).checkpoint_seconds
    assert value == 5.0
    assert isinstance(value, float)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"encoder": "resnt18"}, "did you mean 'resnet18'"),
        ({"early_resolution": 0.0}, r"early_resolution is 0.0; must be in \(0, 1\]"),
        ({"early_share": 1.5}, r"early_share is 1.5; it must be in \[0, 1\]"),
        ({"weights": {"contrst": 1.0}}, "did you mean 'contrast'"),
        ({"objectives": {}}, "has no objective"),
        ({"prescription": {"crp": "off"}}, "did you mean 'crop'"),
        ({"prescription": {"crop": "of"}}, "did you mean 'off'"),
    ],
)
def test_recipes_refuse_what_makes_no_sense(changes, words):
    with pytest.raises(TwofoldError, match=words):
        dataclasses.replace(simclr(), **changes)
