"""What a study trains, before it does: every combination by hand, and every mistake in one line."""

import dataclasses
import itertools

import numpy as np
import pytest

from twofold.config import Config, change
from twofold.errors import TwofoldError
from twofold.recipes import recipe_by_name
from twofold.studies.plan import Plan, check_same, load_plan, parse_grid

WHOLE = Config(recipe=recipe_by_name("simclr"))
GRAY = ("brightness", "contrast", "saturation", "hue")


def plan(**options):
    return Plan(whole=WHOLE, **options)


def test_a_grid_is_every_combination_of_its_values():
    temperatures, sizes, precisions = (0.05, 0.5), (64, 128, 256), ("bf16", "float32")
    grid = {
        "objectives.contrast.temperature": temperatures,
        "batch_size": sizes,
        "precision": precisions,
    }
    found = plan(grid=grid).combinations
    by_hand = []
    for temperature, size, precision in itertools.product(temperatures, sizes, precisions):
        objective = dataclasses.replace(
            WHOLE.recipe.objectives["contrast"], temperature=temperature
        )
        changes = {"batch_size": size, "precision": precision}
        by_hand.append(change(WHOLE, {"objectives": {"contrast": objective}, **changes}))
    assert [combination.whole for combination in found] == by_hand
    assert found[0].name == "temperature=0.05,batch_size=64,precision=bf16"
    assert found[0].values == {
        "objectives.contrast.temperature": 0.05,
        "batch_size": 64,
        "precision": "bf16",
    }


@pytest.mark.parametrize("field", ["batch_size", "recipe.batch_size"])
def test_a_part_may_be_named_before_the_field(field):
    (only,) = plan(grid={field: (7,)}).combinations
    assert only.whole.recipe.batch_size == 7


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1,2", (1, 2)),
        ("a=1e-3,5E2,.5,2.,-1.5,1.5e+3", (0.001, 500.0, 0.5, 2.0, -1.5, 1500.0)),
        ("a=off,no,true,null", ("off", "no", True, None)),
        ("a=[512,128],[1024,128]", ([512, 128], [1024, 128])),
        ("a=timm/resnet18,resnet-small", ("timm/resnet18", "resnet-small")),
        ("a={rotate: off}, {rotate: invariant}", ({"rotate": "off"}, {"rotate": "invariant"})),
        ("a=1e,2026-01", ("1e", "2026-01")),
        ("a=x=y", ("x=y",)),
    ],
)
def test_values_are_yaml(text, values):
    found = parse_grid([text])["a"]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


def test_names_of_flags_are_names_of_fields():
    assert parse_grid(["optimizer.learning-rate=1"]) == {"optimizer.learning_rate": (1,)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (["epochs"], "write field=value"),
        (["=3"], "write field=value"),
        (["epochs="], "write field=value"),
        (["epochs=[1"], "no YAML"),
        (["epochs=1", "epochs=2"], "names epochs twice"),
    ],
)
def test_a_grid_that_cannot_be_read_is_refused(text, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        parse_grid(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": {"temperature": (1,)}}, "did you mean 'objectives.contrast.temperature'"),
        ({"grid": {"optimizer.learning_rat": (1,)}}, "did you mean 'optimizer.learning_rate'"),
        ({"grid": {"epochs": (1, "many")}}, "epochs is 'many'; it must be of type int"),
        ({"grid": {"batch_size": (4, 0)}}, "batch_size is 0"),
        ({"grid": {"prescription.flip": ("of",)}}, "did you mean 'off'"),
        ({"grid": {"epochs": ()}}, "name at least one"),
        ({"grid": {"optimizer.learning_rate": (1, 1.0)}}, "each once"),
        ({"grid": {"seed": (1, 2)}}, "use --seeds"),
        ({"grid": {"settings.seed": (1, 2)}}, "use --seeds"),
        ({"grid": {"name": ("a", "b")}}, "name cannot be varied"),
        ({"grid": {"epochs": (1,)}, "compose": ("crop",)}, "found both"),
        ({"compose": ("crop", "rotat")}, "did you mean 'rotate'"),
        ({"compose": ("crop", "crop")}, "name each augmentation once"),
        ({"seeds": ()}, "seeds are"),
        ({"seeds": (1, 1)}, "seeds are"),
        ({"seeds": (-1,)}, "seeds are"),
        ({"judge": "tests"}, "did you mean 'test'"),
    ],
)
def test_a_mistake_is_refused_before_anything_is_trained(options, words):
    with pytest.raises(TwofoldError, match=words) as caught:
        plan(**options)
    assert "\n" not in str(caught.value)


def test_a_seed_of_all_runs_is_refused():
    with pytest.raises(TwofoldError, match="use --seeds"):
        Plan(whole=change(WHOLE, {"seed": 3}))


def test_folders_are_told_apart_where_names_of_values_are_not():
    names = [c.name for c in plan(grid={"test": ("a/b", "a b", "a-b", "x" * 300)}).combinations]
    assert len(set(names)) == 4
    assert all("/" not in name and len(name) < 200 for name in names)


def test_a_composition_is_every_augmentation_and_every_pair():
    names = ("crop", "jitter", "rotate", "blur")
    found = {tuple(c.values.values()): c for c in plan(compose=names).combinations}
    assert set(found) == {(a, b) for i, a in enumerate(names) for b in names[i:]}
    for pair, combination in found.items():
        drawn = {member for name in pair for member in (GRAY if name == "jitter" else (name,))}
        for name, word in combination.whole.recipe.prescription.items():
            assert word == ("invariant" if name in drawn else "off")
        assert combination.whole.recipe.augmentations == WHOLE.recipe.augmentations


def test_a_plan_comes_back_from_its_folder(tmp_path):
    """Also one whose values are NumPy's, which YAML does not know."""
    grid = {
        "optimizer.learning_rate": tuple(np.linspace(0.1, 0.3, 3)),
        "batch_size": tuple(np.array([8, 16])),
        "objectives.contrast.projector": ((64, 8), (32, 8)),
        "prescription.flip": ("off", "invariant"),
    }
    whole = change(WHOLE, {"data": "digits", "epochs": 2})
    begun = Plan(whole=whole, grid=grid, seeds=(3, 1), judge="test")
    begun.save(tmp_path)
    again = load_plan(tmp_path)
    assert again.combinations == begun.combinations
    assert (again.seeds, again.judge, again.whole) == ((3, 1), "test", whole)
    check_same(again, tmp_path)
    check_same(begun, tmp_path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"grid": {"epochs": (1, 3)}}, r"grid.epochs is \[1, 2\] there and \[1, 3\] here"),
        ({"grid": {"batch_size": (8,)}}, r"grid.epochs is \[1, 2\] there and absent here"),
        ({"grid": {"epochs": (1, 2)}, "seeds": (1,)}, r"seeds is \[0\] there and \[1\] here"),
        ({"grid": {"epochs": (1, 2)}, "judge": "test"}, "judge is held-out there and test here"),
    ],
)
def test_another_study_is_told_by_what_differs(tmp_path, other, words):
    plan(grid={"epochs": (1, 2)}).save(tmp_path)
    with pytest.raises(TwofoldError, match=words):
        check_same(plan(**other), tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "whole: 3", "whole: {recipe: {name: simclr}}"])
def test_a_damaged_plan_is_refused(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(TwofoldError, match=r"study\.yaml"):
        load_plan(tmp_path)
