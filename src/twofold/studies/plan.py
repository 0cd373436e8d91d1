"""What is studied: a grid over any fields, or pairs of augmentations, with every seed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import yaml

from twofold.config import Config, from_plain, to_plain
from twofold.errors import TwofoldError, unknown
from twofold.folder import flattened, write_atomically
from twofold.plain import PlainLoader, plain_from_yaml
from twofold.recipes import Recipe, recipe_by_name

PLAN = "study.yaml"
JITTER = ("brightness", "contrast", "saturation", "hue")
"""What `jitter` stands for."""
PAIR = ("first", "second")
"""What a composition study varies."""

_PARTS = ("recipe", "data", "settings")
_LONGEST_NAME = 150  # file systems allow 255 bytes


@dataclass(frozen=True)
class Combination:
    """One row of the study."""

    values: Mapping[str, Any]
    """What is varied, by field."""
    whole: Config
    """The run it makes, but for its seed."""
    name: str
    """The values as part of a folder's name."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study before anything is trained; whatever is wrong with it is refused when it is made.

    Example:
        >>> plan = Plan(whole=Config(recipe=recipe_by_name("simclr")), grid={"epochs": (1, 2)})
        >>> [combination.whole.recipe.epochs for combination in plan.combinations]
        [1, 2]
    """

    whole: Config
    """What all runs share."""
    grid: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    """Values of each field that is varied, by its dotted name."""
    compose: tuple[str, ...] = ()
    """Augmentations of a composition study."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of every combination."""
    judge: Literal["held-out", "test"] = "held-out"
    """What the runs are judged on."""

    def __post_init__(self) -> None:
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise TwofoldError(f"seeds are {self.seeds}; they must be different numbers >= 0")
        if self.whole.settings.seed:
            raise TwofoldError("seed cannot be set in a study, which has several: use --seeds")
        if self.judge not in {"held-out", "test"}:
            raise unknown("judge", self.judge, ("held-out", "test"))
        if self.grid and self.compose:
            raise TwofoldError("a study has a grid or composes augmentations; found both")
        plain = {field: tuple(map(_plain, values)) for field, values in self.grid.items()}
        object.__setattr__(self, "grid", plain)
        _ = self.combinations  # made once, which checks every one before anything is trained

    @cached_property
    def combinations(self) -> tuple[Combination, ...]:
        """Every row of the study, in the order of the grid."""
        return tuple(_pairs(self) if self.compose else _grid(self))

    @property
    def fields(self) -> tuple[str, ...]:
        """What is varied, in the order in which it was named."""
        return tuple(self.combinations[0].values)

    def save(self, folder: Path) -> None:
        """Writes `study.yaml`."""
        text = yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True)
        write_atomically(folder / PLAN, text.encode())


def load_plan(folder: Path, recipe: Recipe | None = None) -> Plan:
    """Reads the `study.yaml` of a folder back.

    Args:
        folder: A study's folder.
        recipe: The recipe it was begun with, if it is one of the user's own.
    """
    plain = _read(folder)
    try:
        shared = plain["whole"]
        begun = Config(recipe=recipe or _named(shared["recipe"]))
        return Plan(
            whole=from_plain(begun, shared),
            grid={key: tuple(values) for key, values in plain["grid"].items()},
            compose=tuple(plain["compose"]),
            seeds=tuple(plain["seeds"]),
            judge=plain["judge"],
        )
    except (KeyError, TypeError, AttributeError):
        raise TwofoldError(f"{folder / PLAN} describes no study; begin it again") from None


def check_same(plan: Plan, folder: Path) -> None:
    """Refuses a folder that studies something else, by the first thing that differs."""
    before, now = (dict(flattened(plain)) for plain in (_read(folder), to_plain(plan)))
    for key in [*before, *now]:
        there, here = before.get(key, "absent"), now.get(key, "absent")
        if there != here:
            raise TwofoldError(
                f"{folder} studies something else: {key.removeprefix('whole.')} is {there} there "
                f"and {here} here; choose another --out, or go on with "
                f"`twofold study --resume {folder}`"
            )


def parse_grid(texts: Sequence[str]) -> dict[str, tuple[Any, ...]]:
    """The grid that `field=value,value,...` describe, values as in YAML.

    Raises:
        TwofoldError: If one has no field or no value, is no YAML, or repeats a field.

    Example:
        >>> parse_grid(["batch_size=128,256", "objectives.contrast.projector=[64,8],[8]"])
        {'batch_size': (128, 256), 'objectives.contrast.projector': ([64, 8], [8])}
        >>> parse_grid(["prescription.rotate=off,invariant", "optimizer.learning_rate=1e-3"])
        {'prescription.rotate': ('off', 'invariant'), 'optimizer.learning_rate': (0.001,)}
    """
    grid: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip().replace("-", "_")  # also as the flags spell it
        if not (key and equals and values.strip()):
            raise TwofoldError(f"--grid is {text!r}; write field=value,value,...")
        if key in grid:
            raise TwofoldError(f"--grid names {key} twice; put all its values behind one")
        try:
            parsed = plain_from_yaml(f"[{values}]", _Values)
        except ValueError:
            raise TwofoldError(f"--grid {text!r} has values that are no YAML") from None
        grid[key] = tuple(parsed)
    return grid


class _Values(PlainLoader):
    """YAML 1.2's scalars, for 1.1 takes `off` for False and `1e-3` for text."""


_Values.yaml_implicit_resolvers = {
    letter: [(tag, rule) for tag, rule in rules if not tag.endswith((":bool", ":float"))]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Values.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"true|false|True|False"), list("tfTF")
)
_Values.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?$|[-+]?\.(inf|Inf|INF)$"),
    list("-+0123456789."),
)


def short_names(fields: Sequence[str]) -> dict[str, str]:
    """Each field by the last part of its name, where that tells it from the others.

    Example:
        >>> short_names(["objectives.contrast.temperature", "batch_size"])
        {'objectives.contrast.temperature': 'temperature', 'batch_size': 'batch_size'}
    """
    last = [field.rpartition(".")[2] for field in fields]
    return {
        field: short if last.count(short) == 1 else field
        for field, short in zip(fields, last, strict=True)
    }


def label(value: Any) -> str:
    """A value in words.

    Example:
        >>> label((512, 128)), label(1e12), label({"rotate": "off"})
        ('512 128', '1e+12', 'rotate off')
    """
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    if isinstance(value, Mapping):
        return " ".join(f"{key} {label(item)}" for key, item in value.items())
    return " ".join(map(label, value)) if isinstance(value, (list, tuple)) else str(value)


def _named(plain: Mapping[str, Any]) -> Recipe:
    """The recipe that goes by the name and the domain in a file."""
    return recipe_by_name(plain["name"], plain.get("domain", "image"))


def _grid(plan: Plan) -> Iterator[Combination]:
    values: dict[str, list[Any]] = {}
    for field, several in plan.grid.items():
        part, path = _where(plan.whole, field)
        if path[-1] in {"seed", "name"} and len(path) == 1:
            remedy = "use --seeds" if path[-1] == "seed" else "runs are read back by it"
            raise TwofoldError(f"{field} cannot be varied in a grid; {remedy}")
        checked = [_set(plan.whole, part, path, value) for value in several]
        values[field] = [_get(whole, part, path) for whole in checked]
        if not several or any(v in values[field][:i] for i, v in enumerate(values[field])):
            raise TwofoldError(f"{field} has the values {several}; name at least one, each once")
    short, taken = short_names(list(values)), set[str]()
    for chosen in itertools.product(*plan.grid.values()):
        whole = plan.whole
        for field, value in zip(plan.grid, chosen, strict=True):
            whole = _set(whole, *_where(whole, field), value)
        shown = {field: _get(whole, *_where(whole, field)) for field in plan.grid}
        name = ",".join(f"{short[field]}={_in_path(value)}" for field, value in shown.items())
        yield Combination(shown, whole, _distinct(name, taken))


def _pairs(plan: Plan) -> Iterator[Combination]:
    known = plan.whole.recipe.augmentations
    for name in plan.compose:
        if name != "jitter" and name not in known:
            raise unknown("augmentation", name, ["jitter", *known])
    if len(set(plan.compose)) < len(plan.compose):
        raise TwofoldError(f"compose is {' '.join(plan.compose)}; name each augmentation once")
    off = dict.fromkeys(known, "off")
    for first, second in itertools.combinations_with_replacement(plan.compose, 2):
        drawn = dict.fromkeys((*members(first), *members(second)), "invariant")
        recipe = from_plain(plan.whole.recipe, {"prescription": {**off, **drawn}})
        whole = dataclasses.replace(plan.whole, recipe=recipe)
        name = first if first == second else f"{first}+{second}"
        yield Combination(dict(zip(PAIR, (first, second), strict=True)), whole, name)


def members(name: str) -> tuple[str, ...]:
    """The augmentations that a name of a composition study stands for."""
    return JITTER if name == "jitter" else (name,)


def _where(whole: Config, field: str) -> tuple[str, list[str]]:
    """The part of the configuration that has a field, and the field's names within it."""
    path = field.split(".")
    if path[0] in _PARTS and len(path) > 1:
        return path[0], path[1:]
    for part in _PARTS:
        if path[0] in {f.name for f in dataclasses.fields(getattr(whole, part))}:
            return part, path
    plain = to_plain(whole)
    raise unknown("field", field, [key for part in _PARTS for key, _ in flattened(plain[part])])


def _set(whole: Config, part: str, path: Sequence[str], value: Any) -> Config:
    nested = value
    for key in reversed(path):
        nested = {key: nested}
    changed = from_plain(getattr(whole, part), nested)
    return dataclasses.replace(whole, **{part: changed})


def _get(whole: Config, part: str, path: Sequence[str]) -> Any:
    found = getattr(whole, part)
    for key in path:
        found = found[key] if isinstance(found, Mapping) else getattr(found, key)
    return to_plain(found)


def _plain(value: Any) -> Any:
    """A value as YAML has it; also one of NumPy's."""
    return value.item() if hasattr(value, "item") else to_plain(value)


def _in_path(value: Any) -> str:
    return re.sub(r"[^\w.+-]+", "-", label(value)).strip("-")


def _distinct(name: str, taken: set[str]) -> str:
    name = name[:_LONGEST_NAME]
    if name in taken:
        name = next(n for i in itertools.count(2) if (n := f"{name}~{i}") not in taken)
    taken.add(name)
    return name


def _read(folder: Path) -> dict[str, Any]:
    path = folder / PLAN
    try:
        plain = plain_from_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TwofoldError(f"{folder} is no study: it has no {PLAN}") from None
    except ValueError:
        plain = None
    if not isinstance(plain, dict):
        raise TwofoldError(f"{path} is no valid YAML of a study; begin it in another folder")
    return plain
