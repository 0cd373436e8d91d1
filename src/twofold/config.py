"""The whole of a run as plain values: read strictly, written completely. Imports no torch."""

from __future__ import annotations

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from twofold.distilling import Distilling
from twofold.errors import TwofoldError, unknown
from twofold.folder import write_atomically
from twofold.plain import plain_from_yaml
from twofold.recipes import RECIPES, Recipe, recipe_by_name
from twofold.tuning import Tuning


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the items come from."""

    data: str = ""
    """A name (twofold list), a folder of images or of .h5 files, a .npy, .npz or .h5 file, or the
    folder or URL of shards (twofold pack)."""
    key: str | None = None
    """Array to read from an .npz or .h5 file."""
    label_key: str | None = None
    """Array of labels in an .npz or .h5 file."""
    group_key: str | None = None
    """Array of groups in an .npz or .h5 file, or column of the metadata.csv of a folder: items of
    a group are never split, and may be positives."""
    time_key: str | None = None
    """Array of times in an .npz or .h5 file, or column of the metadata.csv of a folder, in any
    unit: they tell which items of a group are far apart."""
    test: str | None = None
    """Folder or file of test items; part of the data is split off if none."""
    test_fraction: float = 0.2
    """Share of the items split off for testing where no split is given, in (0, 1)."""
    image_size: int | None = None
    """Height and width in pixels at which folders of images are decoded; their own if they share
    one."""
    sample_rate: int | None = None
    """Samples a second to which recordings are brought; their own if none."""
    seconds: float | None = None
    """Length of the windows in which recordings are read; their own if they share one."""
    mono: bool = False
    """Whether the channels of recordings are averaged to one."""
    cache_gb: float = 8.0
    """Gigabytes of shards that are mapped or fetched at a time, > 0; items are shuffled within."""

    def __post_init__(self) -> None:
        if not 0 < self.test_fraction < 1:
            raise TwofoldError(f"test_fraction is {self.test_fraction}; it must be in (0, 1)")
        if self.image_size is not None and self.image_size < 4:
            raise TwofoldError(f"image_size is {self.image_size}; it must be at least 4")
        if self.sample_rate is not None and self.sample_rate < 1:
            raise TwofoldError(f"sample_rate is {self.sample_rate}; it must be positive")
        if self.seconds is not None and not self.seconds > 0:
            raise TwofoldError(f"seconds is {self.seconds}; it must be > 0")
        if not self.cache_gb > 0:
            raise TwofoldError(f"cache_gb is {self.cache_gb}; it must be > 0")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run is carried out; nothing here belongs to the method."""

    seed: int = 0
    """Seeds weights, order, views and splits."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "bf16", "float32"] = "auto"
    """What convolutions and matrix products are computed in; auto takes bf16 where it is native."""
    threads: int | None = None
    """Threads that compute on a CPU; all cores if none."""
    loader_threads: int | None = None
    """Threads that prepare batches ahead, >= 0; the number changes no result."""
    tune: Literal["auto", "off"] = "auto"
    """Whether a run of more than a minute begins with seconds of measuring which precision, memory
    format and threads are the fastest on this machine."""
    renderer: Literal["auto", "torch", "fused"] = "auto"
    """What makes views of images: fused is faster on a CPU and needs twofold[fast]; auto takes it
    where it pays. They differ by rounding."""
    monitor_every: int = 1
    """Epochs between online evaluations, >= 1."""
    checkpoint_seconds: float = 60.0
    """Seconds between checkpoints, > 0."""
    not_finite: Literal["stop", "skip"] = "stop"
    """At a loss or gradient that is not finite: stop, or go back to the newest checkpoint and leave
    that batch out."""
    track: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    """Trackers told what the run measures; nothing is sent to wandb without an account."""

    def __post_init__(self) -> None:
        if self.monitor_every < 1:
            raise TwofoldError(f"monitor_every is {self.monitor_every}; it must be at least 1")
        if not self.checkpoint_seconds > 0:
            raise TwofoldError(f"checkpoint_seconds is {self.checkpoint_seconds}; must be > 0")
        if self.seed < 0:
            raise TwofoldError(f"seed is {self.seed}; it must be >= 0")


@dataclass(frozen=True, kw_only=True)
class Aligning:
    """What else sees the items of a run, and how two encoders come to agree on them."""

    recipe: Recipe
    """The other encoder, its views, and what it learns by itself."""
    data: DataConfig = field(default_factory=DataConfig)
    """Where it sees the items, row by row."""
    temperature: float = 0.1
    """Divides the cosines between items of one source and of the other, > 0."""
    within: float = 1.0
    """Weight of what each learns from views of its own, >= 0, beside 1 for what both agree on."""

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise TwofoldError(f"temperature is {self.temperature}; it must be > 0")
        if not self.within >= 0:
            raise TwofoldError(f"within is {self.within}; it must be >= 0")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A run: a recipe, data, settings, and what was found out when it began."""

    recipe: Recipe
    data: DataConfig = field(default_factory=DataConfig)
    settings: Settings = field(default_factory=Settings)
    tuning: Tuning | None = None
    """How a trained encoder learns from labels; None for a run that pretrains."""
    distilling: Distilling | None = None
    """Whom a student learns from; None for a run that does not distil."""
    aligning: Aligning | None = None
    """What else sees the items; None for a run with one source."""
    found: Mapping[str, Any] = field(default_factory=dict)
    """What the data and the machine turned out to be; filled in by the run."""

    @property
    def command(self) -> str:
        """The command that began the run."""
        if self.distilling is not None:
            return "distill"
        if self.aligning is not None:
            return "align"
        return "pretrain" if self.tuning is None else "finetune"

    def save(self, path: Path) -> None:
        """Writes every number of the run as YAML, all of it or nothing."""
        text = yaml.safe_dump(to_plain(self), sort_keys=False, allow_unicode=True)
        write_atomically(path, text.encode())


def heard(settings: DataConfig, preprocess: Mapping[str, Any]) -> DataConfig:
    """`settings` with the sample rate and the window that an encoder reads, where they say none.

    Of several channels the mean is taken if the encoder reads one.

    Args:
        settings: Where the items come from.
        preprocess: The encoder's, as `found` or an `encoder.safetensors` holds it; nothing changes
            if its items are no signals.

    Example:
        >>> heard(DataConfig(seconds=2.0), {"sample_rate": 16_000, "size": 8_000, "mean": (0.0,)})
        DataConfig(data='', key=None, ..., sample_rate=16000, seconds=2.0, mono=True, ...)
    """
    rate = preprocess.get("sample_rate")
    if rate is None:
        return settings
    front_end = preprocess.get("front_end") or {}
    channels = len(preprocess["mean"]) // (3 if front_end.get("phase") else 1)
    return dataclasses.replace(
        settings,
        sample_rate=settings.sample_rate or rate,
        seconds=settings.seconds or preprocess["size"] / rate,
        mono=settings.mono or channels == 1,
    )


def load_config(path: Path, recipe: Recipe | None = None) -> Config:
    """Reads a `config.yaml` back; a key that nothing reads is an error.

    Args:
        path: The file.
        recipe: What the file's recipe is built on; the one that goes by its name if None.

    Raises:
        TwofoldError: If the file is missing, is no YAML, or holds an unknown key or a value of
            the wrong kind.
    """
    try:
        plain = plain_from_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TwofoldError(f"{path} does not exist; a run folder has a config.yaml") from None
    except OSError as error:
        raise TwofoldError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise TwofoldError(f"{path} is not valid YAML: {error}; write it anew") from None
    if not isinstance(plain, dict) or not isinstance(plain.get("recipe"), dict):
        raise TwofoldError(f"{path} describes no run; it needs a recipe with a name")
    found = plain.pop("found", {})
    begun = Config(recipe=_begun(plain["recipe"], recipe))
    aligning = plain.get("aligning")
    for part, value in (("found", found), ("aligning", {} if aligning is None else aligning)):
        if not isinstance(value, Mapping):
            raise TwofoldError(f"{part} of {path} is {value!r}; it must be a mapping")
    if aligning is not None:
        other = _begun(aligning.get("recipe"))
        begun = dataclasses.replace(begun, aligning=Aligning(recipe=other))
    config: Config = from_plain(begun, plain)
    return dataclasses.replace(config, found=found)


def _begun(plain: Any, recipe: Recipe | None = None) -> Recipe:
    """What the recipe in a file is built on: the one that goes by its name if none is given."""
    if not isinstance(plain, Mapping):
        raise TwofoldError(f"a recipe is {plain!r}; it must be a mapping with a name")
    name = str(plain.get("name"))
    if recipe is None and name not in RECIPES:
        refusal = unknown("recipe", name, RECIPES)
        raise TwofoldError(f"{refusal}; a recipe of your own must be handed over in Python")
    recipe = recipe or recipe_by_name(name, str(plain.get("domain", "image")))
    return _with_objectives(recipe, plain.get("objectives"))


def _with_objectives(recipe: Recipe, listed: Any) -> Recipe:
    """`recipe` with those of its objectives that a file lists, if it lists any."""
    known = listed if isinstance(listed, Mapping) else {}  # what else it is, is told of later
    kept = {name: o for name, o in recipe.objectives.items() if name in known}
    weights = {name: weight for name, weight in recipe.weights.items() if name in kept}
    return dataclasses.replace(recipe, objectives=kept, weights=weights) if kept else recipe


def to_plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as the dictionaries and lists of YAML and JSON."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(default: Any, plain: Mapping[str, Any], where: str = "") -> Any:
    """The dataclass `default` with the values of `plain`, checked key by key.

    Example:
        >>> from_plain(Settings(), {"seed": 3}).seed
        3
        >>> from_plain(Settings(), {"sed": 3})
        Traceback (most recent call last):
        twofold.errors.TwofoldError: unknown key 'sed'; did you mean 'seed'? ...
    """
    if not isinstance(plain, Mapping):
        raise TwofoldError(
            f"{where.rstrip('.') or 'the configuration'} is {plain!r}; it must be a mapping"
        )
    kinds = _field_types(type(default))
    for key in plain:
        if key not in kinds:
            raise unknown("key", f"{where}{key}", [f"{where}{known}" for known in kinds])
    changes = {
        key: _convert(kinds[key], getattr(default, key), value, f"{where}{key}")
        for key, value in plain.items()
    }
    return dataclasses.replace(default, **changes)


def change(whole: Config, changes: Mapping[str, Any]) -> Config:
    """`whole` with fields of its recipe, data, settings or tuning replaced, whichever has them.

    Raises:
        TwofoldError: If none of them has a field of that name, or the value is of a wrong kind.

    Example:
        >>> from twofold.recipes import simclr
        >>> change(Config(recipe=simclr()), {"epochs": 3}).recipe.epochs
        3
    """
    for name, value in changes.items():
        for part in ("recipe", "data", "settings", "tuning"):
            before = getattr(whole, part)
            if before is None:
                continue
            if name in {f.name for f in dataclasses.fields(before)}:
                after = _replace(before, name, value)
                whole = dataclasses.replace(whole, **{part: after})
                break
        else:
            parts = (whole.recipe, whole.data, whole.settings, whole.tuning)
            fields = [f.name for p in parts if p is not None for f in dataclasses.fields(p)]
            raise unknown("option", name, fields)
    return whole


def _replace(part: Any, name: str, value: Any) -> Any:
    """`part` with one field replaced; words, settings and weights by name join those there are."""
    before = getattr(part, name)
    if isinstance(before, Mapping) and isinstance(value, Mapping):
        value = value if name == "objectives" else {**before, **value}
        return dataclasses.replace(part, **{name: value})
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(part, **{name: value})
    return from_plain(part, {name: str(value) if isinstance(value, Path) else value})


def _field_types(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init}


def _convert(kind: Any, default: Any, value: Any, where: str) -> Any:
    """`value` as `kind`, the annotation of the field that `default` is the default of."""
    if dataclasses.is_dataclass(default):
        return from_plain(default, value, f"{where}.")
    if isinstance(default, Mapping):
        return _convert_mapping(kind, default, value, where)
    options = typing.get_args(kind)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        *others, last = (option for option in options if option is not type(None))
        for option in others:
            with contextlib.suppress(TwofoldError):
                return _convert(option, default, value, where)
        return _convert(last, default, value, where)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):  # of a field without a default
        return from_plain(kind(), value, f"{where}.")
    if typing.get_origin(kind) is Literal:
        if value not in options:
            raise unknown(where, str(value), [str(option) for option in options])
        return value
    if typing.get_origin(kind) is tuple:
        return _convert_tuple(options, value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        found = " ".join(repr(value).split())  # an array's goes over lines
        found = found if len(found) < 80 else f"a {type(value).__name__}"
        raise TwofoldError(f"{where} is {found}; it must be of type {kind.__name__}")
    return value


def _convert_mapping(kind: Any, default: Mapping[str, Any], value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise TwofoldError(f"{where} is {value!r}; it must be a mapping")
    item_kind = typing.get_args(kind)[1]
    for key in value:
        if default and key not in default:
            raise unknown("key", f"{where}.{key}", [f"{where}.{known}" for known in default])
    changed = {
        key: _convert(item_kind, default.get(key), item, f"{where}.{key}")
        for key, item in value.items()
    }
    return {**default, **changed}


def _convert_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise TwofoldError(f"{where} is {value!r}; it must be a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise TwofoldError(f"{where} has {len(value)} values; it must have {len(kinds)}")
    return tuple(
        _convert(kind, None, item, f"{where}[{number}]")
        for number, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )
