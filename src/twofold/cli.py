"""The command line. Commands import torch only when they begin to work."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold.arguments import (
    changed,
    check_name,
    check_source,
    has,
    output,
    positional,
    required,
    take,
)
from twofold.errors import TwofoldError, unknown
from twofold.folder import CONFIG, EVALUATION, check_new, check_run

if TYPE_CHECKING:
    from twofold.flags import Prove

_HELP = """\
twofold learns representations from unlabelled data.

  twofold pretrain RECIPE --data D --out RUN   train an encoder
  twofold pretrain --resume RUN                go on with a run that was stopped
  twofold evaluate RUN [--data D]              probe it beside raw input and the untrained network
  twofold prove RUN [--data D]                 what it keeps and ignores of each augmentation
  twofold prove ENCODER --data D               the same of any encoder: timm/NAME, torchvision/NAME
  twofold embed RUN --data D --out FILE.npz    embeddings of any items
  twofold preview RECIPE --data D --out PNG    see the views before paying for training
  twofold report RUN                           one page that shows it all
  twofold compare RUN RUN ... [--out HTML]     runs side by side: what differs, figures, cost
  twofold study RECIPE --data D --out FOLDER   a grid over any fields and seeds: --grid F=V,V
  twofold study --resume FOLDER                go on with a study that was stopped
  twofold list                                 recipes, encoders, augmentations, data names

Every command has --help. D is a name, a folder of images, or a .npy, .npz or .h5 file.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command; a user's mistake ends in one line and exit status 2."""
    args = list(sys.argv[1:] if argv is None else argv)
    # Read once, when torch is loaded: idle threads sleep, so that loader threads get a core.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        if not args or args[0] in {"-h", "--help", "help"}:
            print(_HELP, end="")
        elif args[0] in {"--version", "version"}:
            from twofold import __version__

            print(f"twofold {__version__}")
        elif args[0] not in COMMANDS:
            flags = ("--help", "--version")
            raise unknown("command", args[0], flags if args[0].startswith("-") else COMMANDS)
        else:
            sys.exit(COMMANDS[args[0]](args[1:]))
    except TwofoldError as error:
        print(f"twofold: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"twofold: {error}", file=sys.stderr)
        sys.exit(1)


def pretrain(args: list[str]) -> int:
    """Trains an encoder; returns 130 if it was stopped before its end."""
    from twofold.config import Config, load_config
    from twofold.flags import Pretrain, parse
    from twofold.recipes import recipe_by_name

    if has(args, "--resume"):
        return _resume(args)
    if has(args, "--config"):
        path, args = take(args, "--config")
        begun = load_config(Path(path))
    else:
        name, args = positional(args, "RECIPE", "twofold pretrain RECIPE --data D --out RUN")
        begun = Config(recipe=recipe_by_name(name))
    default = Pretrain(recipe=begun.recipe, data=begun.data, settings=begun.settings)
    flags = parse(Pretrain, args, prog=f"twofold pretrain {begun.recipe.name}", default=default)
    check_name(flags.recipe, begun.recipe)
    check_source(flags.data)
    out = required(flags.out, "--out", "the folder of the run, e.g. runs/a")
    check_new(out, overwrite=flags.overwrite)

    from twofold.launch import start

    whole = Config(recipe=flags.recipe, data=flags.data, settings=flags.settings)
    return 0 if start(whole, out, overwrite=flags.overwrite).finished else 130


def _resume(args: list[str]) -> int:
    from twofold.config import load_config

    given, rest = take(args, "--resume")
    if rest:
        raise TwofoldError(
            f"--resume goes on exactly as the run began and takes no other flag; found {rest[0]}"
        )
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    if not whole.data.data:
        raise TwofoldError(
            f"{folder} was given an array in Python; go on there with "
            f"twofold.resume({given!r}, data=array)"
        )

    from twofold.launch import start

    return 0 if start(whole, folder).finished else 130


def evaluate(args: list[str]) -> int:
    """Probes the frozen encoder and prints the figures."""
    from twofold.config import load_config
    from twofold.flags import Evaluate, parse

    given, args = positional(args, "RUN", "twofold evaluate RUN --data D")
    flags = parse(Evaluate, args, prog="twofold evaluate RUN")
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    settings = flags.data if flags.data.data else changed(whole.data, flags.data)
    check_source(settings)

    from twofold.display import print_figures
    from twofold.launch import open_config
    from twofold.run import Run

    print_figures(Run(folder).evaluate(open_config(settings, whole.settings.seed)))
    print(folder / EVALUATION)
    return 0


def prove(args: list[str]) -> int:
    """Finds out what an encoder keeps of each augmentation, and prints it."""
    from twofold.config import load_config
    from twofold.flags import Prove, parse
    from twofold.networks.names import ENCODERS

    given, args = positional(args, "RUN or ENCODER", "twofold prove RUN")
    flags = parse(Prove, args, prog="twofold prove RUN")
    if given in ENCODERS or given.partition("/")[0] in {"timm", "torchvision"}:
        return _prove_by_name(given, flags)
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    settings = flags.data if flags.data.data else changed(whole.data, flags.data)
    check_source(settings)

    from twofold.display import print_proof
    from twofold.launch import open_config
    from twofold.run import Run

    proof = Run(folder).prove(
        open_config(settings, whole.settings.seed),
        augmentations=flags.augmentations,
        ceiling_epochs=flags.ceiling_epochs,
    )
    print_proof(proof)
    print(folder / EVALUATION)
    return 0


def _prove_by_name(name: str, flags: Prove) -> int:
    check_source(flags.data)
    out = None if flags.out is None else output(flags.out, ".json")

    from twofold.display import print_proof
    from twofold.launch import open_config
    from twofold.proof import prove_by_name

    proof = prove_by_name(
        name,
        open_config(flags.data, flags.seed),
        names=flags.augmentations,
        pretrained=flags.pretrained,
        seed=flags.seed,
    )
    print_proof(proof)
    if out is not None:
        out.write_text(json.dumps(proof, indent=2) + "\n")
        print(out)
    return 0


def embed(args: list[str]) -> int:
    """Writes the embeddings of any items."""
    from twofold.config import load_config
    from twofold.flags import Embed, parse

    given, args = positional(args, "RUN", "twofold embed RUN --data D --out FILE.npz")
    flags = parse(Embed, args, prog="twofold embed RUN")
    folder = check_run(Path(given))
    check_source(flags.data)
    out = output(flags.out, ".npz")
    seed = load_config(folder / CONFIG).settings.seed  # the test part is what the run held out

    from twofold.encoder import load, write_embeddings
    from twofold.hardware import detect
    from twofold.launch import open_config

    encoder, data = load(folder), open_config(flags.data, seed)
    how = {"part": flags.part, "route": flags.route, "layer": flags.layer}
    count, dim = write_embeddings(encoder, data, out, device=detect().device, **how)
    print(f"{out}: {count} embeddings of {dim} features")
    return 0


def preview(args: list[str]) -> int:
    """Draws items, their views, and what was drawn for each."""
    from twofold.flags import Preview, parse
    from twofold.recipes import recipe_by_name

    name, args = positional(args, "RECIPE", "twofold preview RECIPE --data D --out PNG")
    default = Preview(recipe=recipe_by_name(name))
    flags = parse(Preview, args, prog=f"twofold preview {name}", default=default)
    check_source(flags.data)
    out = output(flags.out, ".png")

    from twofold.assembly import build_views
    from twofold.launch import open_config
    from twofold.report import preview as draw

    source = open_config(flags.data, flags.seed).train
    draw(source, build_views(flags.recipe, source, flags.seed), out, rows=flags.rows)
    print(out)
    return 0


def report(args: list[str]) -> int:
    """Writes the page of a run."""
    given, args = positional(args, "RUN", "twofold report RUN")
    if args:
        raise TwofoldError(f"twofold report takes a run folder alone; found {args[0]}")
    folder = check_run(Path(given))

    from twofold.run import Run

    print(Run(folder).report())
    return 0


def compare(args: list[str]) -> int:
    """Prints runs side by side and, with --out, writes them as a page."""
    usage, out = "twofold compare RUN RUN ... [--out FILE.html]", None
    if {"-h", "--help"} & set(args):
        print(f"{usage}\n\nPrints runs side by side; --out writes them as a page, too.")
        return 0
    if has(args, "--out"):
        given, args = take(args, "--out")
        out = output(Path(given), ".html")
    positional(args, "RUN", usage)
    if flag := next((arg for arg in args if arg.startswith("-")), None):
        raise TwofoldError(f"unknown flag {flag}; write {usage}")

    from twofold.comparison import compare as side_by_side

    comparison = side_by_side(args)
    print(comparison)
    if out is not None:
        from twofold.report import write_comparison

        print(write_comparison(comparison, out))
    return 0


def study(args: list[str]) -> int:
    """Trains a grid and prints its rows, the best first."""
    from twofold.config import Config
    from twofold.flags import Study, parse
    from twofold.recipes import recipe_by_name
    from twofold.studies.plan import Plan, load_plan, parse_grid

    if has(args, "--resume"):
        given, rest = take(args, "--resume")
        if rest:
            raise TwofoldError(f"--resume goes on as the study began; found {rest[0]}")
        folder, plan = Path(given), load_plan(Path(given))
    else:
        name, args = positional(args, "RECIPE", "twofold study RECIPE --data D --out FOLDER")
        default = Study(recipe=recipe_by_name(name))
        flags = parse(Study, args, prog=f"twofold study {name}", default=default)
        check_name(flags.recipe, default.recipe)
        check_source(flags.data)
        folder = required(flags.out, "--out", "the folder of the study, e.g. runs/temperature")
        plan = Plan(
            whole=Config(recipe=flags.recipe, data=flags.data, settings=flags.settings),
            grid=parse_grid(flags.grid),
            compose=flags.compose,
            seeds=flags.seeds,
            judge=flags.judge,
        )

    from twofold.studies import carry_out

    carry_out(plan, folder).print()
    return 0


def list_names(args: list[str]) -> int:
    """Prints every name there is."""
    from twofold.augment.table import IMAGE
    from twofold.domains.image.names import NAMES
    from twofold.networks.names import ENCODERS
    from twofold.recipes import RECIPES

    if args:
        raise TwofoldError(f"twofold list takes nothing; found {args[0]}")
    groups = {
        "recipes": {name: _first_line(recipe) for name, recipe in RECIPES.items()},
        "encoders": ENCODERS,
        "augmentations": {name: _first_line(kind) for name, kind in IMAGE.items()},
        "data": NAMES,
    }
    for group, names in groups.items():
        print(group)
        width = max(map(len, names))
        for name, words in names.items():
            print(f"  {name:<{width}}  {words}")
    return 0


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "pretrain": pretrain,
    "evaluate": evaluate,
    "prove": prove,
    "embed": embed,
    "preview": preview,
    "report": report,
    "compare": compare,
    "study": study,
    "list": list_names,
}


def _first_line(value: Any) -> str:
    return str(value.__doc__).strip().splitlines()[0]
