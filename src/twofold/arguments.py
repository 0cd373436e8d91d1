"""What commands do with their arguments before anything heavy is imported."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.errors import TwofoldError
from twofold.folder import CONFIG, check_run

if TYPE_CHECKING:
    from twofold.config import Config, DataConfig
    from twofold.recipes import Recipe


def positional(args: list[str], name: str, usage: str) -> tuple[str, list[str]]:
    """The argument that comes first, and the others; only the usage where help is asked for."""
    if args and args[0] in {"-h", "--help"}:
        sys.stdout.write(f"{usage}\n\nName the {name} and add --help to see every flag.\n")
        sys.exit(0)
    if not args or args[0].startswith("-"):
        raise TwofoldError(f"{name} is missing; write {usage}")
    return args[0], args[1:]


def has(args: list[str], flag: str) -> bool:
    """Whether a flag is given."""
    return any(arg.partition("=")[0] == flag for arg in args)


def take(args: list[str], flag: str) -> tuple[str, list[str]]:
    """The value of a flag, and the arguments without both."""
    args = [part for arg in args for part in (arg.split("=", 1) if has([arg], flag) else [arg])]
    at = args.index(flag)
    if at + 1 == len(args) or args[at + 1].startswith("--"):
        raise TwofoldError(f"{flag} needs a value")
    return args[at + 1], args[:at] + args[at + 2 :]


def domain_in(args: list[str]) -> str:
    """The domain that --domain names, or that the data of --data are of."""
    from twofold.domains.names import domain_by_name, told

    if has(args, "--domain"):
        return domain_by_name(take(args, "--domain")[0]).name
    return told(take(args, "--data")[0]) if has(args, "--data") else "image"


def resumed(args: list[str], command: str) -> tuple[Config, Path]:
    """The run that --resume names and its configuration, if `command` began it."""
    from twofold.config import load_config

    given, rest = take(args, "--resume")
    if rest:
        raise TwofoldError(
            f"--resume goes on exactly as the run began and takes no other flag; found {rest[0]}"
        )
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    if whole.command != command:
        raise TwofoldError(
            f"{folder} was begun by another command; go on with "
            f"`twofold {whole.command} --resume {folder}`"
        )
    if not whole.data.data:
        raise TwofoldError(
            f"{folder} was given an array in Python; go on there with "
            f"twofold.resume({given!r}, data=array)"
        )
    return whole, folder


def changed(settings: DataConfig, flags: DataConfig) -> DataConfig:
    """A run's data with those settings replaced that were given as flags."""
    given = {
        field.name: getattr(flags, field.name)
        for field in dataclasses.fields(flags)
        if getattr(flags, field.name) != field.default
    }
    return dataclasses.replace(settings, **given)


def check_source(flags: Any) -> None:
    """Refuses a data name or path that leads nowhere, before anything heavy is imported."""
    from twofold.domains.image.names import check_data

    check_data(required(flags.data, "--data", "a name (twofold list), a folder or a file"))
    if flags.test:
        check_data(flags.test)


def check_name(recipe: Recipe, begun: Recipe) -> None:
    """Refuses another name for a recipe."""
    if recipe.name != begun.name:
        raise TwofoldError("--name cannot be changed: a run is read back by its recipe's name")


def required(value: Any, flag: str, what: str) -> Any:
    """What a flag was given, if it was."""
    if not value:
        raise TwofoldError(f"{flag} is missing; it is {what}")
    return value


def output(path: Path | None, *suffixes: str) -> Path:
    """The file that --out names, if it can be written."""
    endings = " or ".join(suffixes)
    path = required(path, "--out", f"the file to write, *{endings}")
    assert path is not None
    if path.suffix not in suffixes:
        raise TwofoldError(f"--out is {path}; its name must end in {endings}")
    if path.is_dir():
        raise TwofoldError(f"--out is {path}, a folder; name a file to write")
    if not path.parent.is_dir():
        raise TwofoldError(f"--out is {path}; the folder {path.parent} does not exist")
    return path
