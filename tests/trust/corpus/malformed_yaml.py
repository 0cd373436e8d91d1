"""Configurations and plans: wrong keys, wrong types, text that is none, growth without end."""

from pathlib import Path

import yaml
from malformed import CONFIG, Refused, put

from twofold.config import Config, DataConfig, to_plain
from twofold.recipes import simclr


def described(**changes: object) -> str:
    """A sound configuration with some of its values replaced, by dotted names."""
    plain = to_plain(Config(recipe=simclr(), data=DataConfig(data="digits")))
    for name, value in changes.items():
        part = plain
        *path, last = name.split("__")
        for key in path:
            part = part[key]
        part[last] = value
    return str(yaml.safe_dump(plain, sort_keys=False))


def _yaml(name: str, text: bytes | str, words: str) -> Refused:
    return Refused(f"yaml {name}", put("c.yaml", text), words, "c.yaml", CONFIG)


def _set(name: str, words: str, **changes: object) -> Refused:
    return _yaml(name, described(**changes), words)


_LAUGHS = "a0: &a0 [lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)

CONFIGURATIONS = [
    _yaml("of no bytes", "", "describes no run; it needs a recipe"),
    _yaml("of a number", "7", "describes no run"),
    _yaml("of a list", "- recipe\n- data\n", "describes no run"),
    _yaml("of a recipe by name alone", "recipe: simclr\n", "describes no run"),
    _yaml("of two documents", "recipe: {}\n---\nrecipe: {}\n", "is not valid YAML: .*document"),
    _yaml("with a tab", "recipe:\n\tname: simclr\n", "is not valid YAML: .*line 2"),
    _yaml("with an open bracket", "recipe: {name: simclr", "is not valid YAML"),
    _yaml("in bytes that are no text", b"recipe: \xff\xfe\n", "is not valid YAML"),
    _yaml("with zeros", b"recipe: \0\n", "is not valid YAML"),
    _yaml("of an archive", b"PK\x03\x04" + bytes(99), "is not valid YAML"),
    _yaml(
        "of objects",
        "!!python/object/apply:os.system ['touch planted']",
        "is not valid YAML: could not determine a constructor",
    ),
    _yaml(
        "of a new object",
        "recipe: !!python/object/new:os.system [touch planted]",
        "is not valid YAML: could not determine a constructor",
    ),
    _yaml(
        "of a module",
        "recipe: !!python/module:os ''",
        "is not valid YAML: could not determine a constructor",
    ),
    _yaml(
        "of a name",
        "recipe: !!python/name:os.system ''",
        "is not valid YAML: could not determine a constructor",
    ),
    _yaml(
        "of aliases that expand without end",
        _LAUGHS + "recipe: *a29\n",
        "is not valid YAML: aliases are not read",
    ),
    _yaml(
        "of an alias of itself",
        "recipe: &r {name: simclr, epochs: *r}\n",
        "is not valid YAML: aliases are not read",
    ),
    _yaml(
        "of a merge",
        "a: &a {name: simclr}\nrecipe:\n  <<: *a\n",
        "is not valid YAML: aliases are not read",
    ),
    _yaml(
        "of an alias to nothing", "recipe: *nothing\n", "is not valid YAML: aliases are not read"
    ),
    _yaml(
        "of 9,000 brackets", "recipe: " + "[" * 9000, "is not valid YAML: it is nested too deeply"
    ),
    _yaml(
        "of 9,000 levels",
        "".join(f"{' ' * n}a:\n" for n in range(300)),
        "is not valid YAML: it is nested too deeply",
    ),
    _yaml(
        "of 5 MiB",
        "recipe: " + "x" * (5 * 2**20),
        "is not valid YAML: it has 5,242,888 characters; at most",
    ),
    _yaml(
        "with a key twice",
        described() + "settings: {seed: 3}\n",
        "is not valid YAML: the key 'settings' occurs twice",
    ),
    _yaml(
        "with a key twice below",
        "recipe: {name: simclr, epochs: 3, epochs: 4}\n",
        "the key 'epochs' occurs twice",
    ),
    _yaml(
        "of a number of 5,000 digits",
        "recipe: {name: simclr, epochs: " + "9" * 5000 + "}",
        "is not valid YAML",
    ),
    _yaml("of a day that there is none of", "recipe: {name: 2001-99-99}", "is not valid YAML"),
    _yaml("of a day that is no day", "recipe: {name: !!timestamp hello}", "is not valid YAML"),
    _yaml("of a number that is no number", "recipe: {epochs: !!int hello}", "is not valid YAML"),
    _yaml("of no number", "recipe: {epochs: !!int ''}", "is not valid YAML"),
    _yaml("of a truth that is none", "recipe: {epochs: !!bool hello}", "is not valid YAML"),
    _yaml("of bytes that are none", "recipe: {epochs: !!binary '%%%'}", "is not valid YAML|recipe"),
    _yaml("of a key that is a list", "recipe: {[1]: 2}", "is not valid YAML"),
    _yaml(
        "of an unknown recipe",
        "recipe: {name: simclrr}",
        "unknown recipe 'simclrr'; did you mean 'simclr'",
    ),
    _yaml("of a recipe named by a list", "recipe: {name: [1, 2]}", "unknown recipe"),
    _yaml(
        "of an unknown domain", "recipe: {name: simclr, domain: taste}", "unknown domain 'taste'"
    ),
    _yaml("of a domain that is a list", "recipe: {name: simclr, domain: [image]}", "domain"),
    _set(
        "of an unknown key",
        "unknown key 'recipe.epoch'; did you mean 'recipe.epochs'",
        recipe__epoch=3,
    ),
    _set("of an unknown part", "unknown key 'more'", more=3),
    _set(
        "of words as number",
        "recipe.epochs is 'many'; it must be of type int",
        recipe__epochs="many",
    ),
    _set(
        "of a fraction as count", "recipe.epochs is 2.5; it must be of type int", recipe__epochs=2.5
    ),
    _set("of truth as count", "recipe.epochs is True; it must be of type int", recipe__epochs=True),
    _set("of a list as number", "recipe.epochs is .*; it must be of type int", recipe__epochs=[1]),
    _set(
        "of nothing as number", "recipe.epochs is None; it must be of type int", recipe__epochs=None
    ),
    _set("of no epochs", "epochs is 0", recipe__epochs=0),
    _set("of a negative batch", "batch_size is -8", recipe__batch_size=-8),
    _set(
        "of a temperature of 0", "temperature is 0", recipe__objectives__contrast__temperature=0.0
    ),
    _set(
        "of a temperature that is NaN",
        "temperature is nan",
        recipe__objectives__contrast__temperature=float("nan"),
    ),
    _set("of a negative seed", "seed is -1; it must be >= 0", settings__seed=-1),
    _set(
        "of an unknown precision", "unknown settings.precision 'int3'", settings__precision="int3"
    ),
    _set("of a share beyond 1", "test_fraction is 1.5; it must be in", data__test_fraction=1.5),
    _set(
        "of a share that is NaN",
        "test_fraction is nan; it must be in",
        data__test_fraction=float("nan"),
    ),
    _set("of an image size of 1", "image_size is 1; it must be at least 4", data__image_size=1),
    _set("of an unknown word", "'sometimes'", recipe__prescription__flip="sometimes"),
    _set(
        "of an unknown augmentation",
        "unknown key 'recipe.prescription.flop'; did you mean",
        recipe__prescription__flop="invariant",
    ),
    _set(
        "of a prescription that is a list",
        "recipe.prescription is .*; it must be a mapping",
        recipe__prescription=["flip"],
    ),
    _set("of a recipe that is an alias of nothing", "describes no run", recipe=None),
    _set("of data that are a number", "data.data is 7; it must be of type str", data__data=7),
    _set(
        "of data that do not exist",
        "unknown data 'digts'; did you mean 'digits'",
        data__data="digts",
    ),
    _set("of no data", "--data is missing", data__data=""),
    _set("of settings that are a list", "settings is \\[\\]; it must be a mapping", settings=[]),
    _set(
        "of an aligning that is a number", "aligning of .* is 7; it must be a mapping", aligning=7
    ),
    _set(
        "of an aligning without a recipe",
        "a recipe is None; it must be a mapping with a name",
        aligning={"temperature": 1},
    ),
    _set(
        "of an objective that is a number",
        "recipe.objectives.contrast",
        recipe__objectives={"contrast": 7},
    ),
    _set("of objectives that are a number", "recipe.objectives", recipe__objectives=7),
    _set("of what was found as a list", "found of .* is .*; it must be a mapping", found=[1]),
    Refused(
        "yaml that is a folder",
        lambda at: (at / "c.yaml").mkdir(),
        "c.yaml cannot be read",
        "c.yaml",
        CONFIG,
    ),
    Refused(
        "yaml that is missing",
        lambda at: None,
        "c.yaml does not exist; a run folder has",
        "c.yaml",
        CONFIG,
    ),
]


def _in_folder(name: str, file: str, text: str, words: str, command: str) -> Refused:
    def write(at: Path) -> None:
        (at / "run").mkdir()
        (at / "run" / file).write_text(text)

    return Refused(name, write, words, "run", command)


_PLANNED = "whole: {recipe: {name: simclr}}\ngrid: {}\ncompose: []\nseeds: [0]\njudge: held-out\n"

PLANS = [
    _in_folder(
        "study of no bytes",
        "study.yaml",
        "",
        "is no valid YAML of a study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of a list",
        "study.yaml",
        "[1]",
        "is no valid YAML of a study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of half its keys",
        "study.yaml",
        "whole: {}",
        "describes no study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of a number",
        "study.yaml",
        "whole: 7\n" + _PLANNED[_PLANNED.index("grid") :],
        "describes no study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of seeds that are words",
        "study.yaml",
        _PLANNED.replace("[0]", "[now]"),
        "seeds|describes no study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of a grid of a number",
        "study.yaml",
        _PLANNED.replace("grid: {}", "grid: {epochs: 7}"),
        "describes no study",
        "study --resume {data}",
    ),
    _in_folder(
        "study of an unknown field",
        "study.yaml",
        _PLANNED.replace("grid: {}", "grid: {epoch: [7]}"),
        "unknown field 'epoch'; did you mean",
        "study --resume {data}",
    ),
    _in_folder(
        "study of objects",
        "study.yaml",
        "!!python/object/apply:os.system ['touch planted']",
        "is no valid YAML",
        "study --resume {data}",
    ),
    _in_folder(
        "stages of no bytes",
        "semisupervise.yaml",
        "",
        "describes no stages|no valid YAML",
        "semisupervise --resume {data}",
    ),
    _in_folder(
        "stages of a list",
        "semisupervise.yaml",
        "[1]",
        "describes no stages",
        "semisupervise --resume {data}",
    ),
    _in_folder(
        "stages of numbers",
        "semisupervise.yaml",
        "whole: 7\nfinetune: 7\ndistill: 7\n",
        "describes no stages",
        "semisupervise --resume {data}",
    ),
    _in_folder(
        "stages of objects",
        "semisupervise.yaml",
        "!!python/name:os.system ''",
        "is no valid YAML",
        "semisupervise --resume {data}",
    ),
]

REFUSED = [*CONFIGURATIONS, *PLANS]
"""Each a text that no command takes."""
