"""`twofold evaluate`: judge a frozen encoder, or embeddings of any system."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from twofold.arguments import changed, check_source, has, output, positional
from twofold.config import DataConfig, heard, load_config
from twofold.errors import TwofoldError
from twofold.evaluate.metrics import check_probes
from twofold.evaluate.options import ProbeOptions
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, EVALUATION, check_run
from twofold.networks.names import ENCODERS

if TYPE_CHECKING:
    from twofold.domains import Data

_USAGE = "twofold evaluate RUN [--data D], or ENCODER --data D, or --embeddings FILE"


@dataclass(frozen=True, kw_only=True)
class Sets(DataConfig):
    """Where the items come from: one set, or several for a table of transfer."""

    data: tuple[str, ...] = ()  # type: ignore[assignment]
    """Names (twofold list), folders, or .npy, .npz or .h5 files; a run's own if none.
    Of several the encoder is judged on each, with its own training items."""


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Probe a frozen encoder beside raw input and the untrained network."""

    data: Annotated[Sets, FLAT] = field(default_factory=Sets)
    probes: tuple[str, ...] = ()
    """knn, linear, regression, fewshot, retrieval, clustering, fewlabels, observables, conserved or
    health; by default knn and linear for classes, knn and regression for numbers, health without
    labels, and what the domain adds."""
    options: Annotated[ProbeOptions, FLAT] = field(default_factory=ProbeOptions)
    layer: str = "features"
    """What of a run is judged: its features, or projector.1 and so on, a layer of the head that its
    loss read."""
    baselines: bool = True
    """Compare with raw input and the untrained network."""
    embeddings: tuple[Path, ...] = ()
    """A .npz or .parquet file of embeddings to judge in place of an encoder; with a second one,
    that of the test items."""
    pretrained: bool = False
    """Fetch the published weights of an encoder by name; they are random otherwise."""
    seed: int = 0
    """Of splits, draws and random weights for encoders by name and embeddings; a run has its
    own."""
    out: Path | None = None
    """File to write the figures to, .json; those of a run go to its evaluation.json, too."""


def main(args: list[str]) -> int:
    """Probes the frozen encoder and prints the figures."""
    given = None
    if not has(args, "--embeddings") or not args[0].startswith("-"):
        given, args = positional(args, "RUN", _USAGE)
    flags = parse(Evaluate, args, prog="twofold evaluate RUN")
    check_probes(flags.probes)
    out = None if flags.out is None else output(flags.out, ".json")
    if flags.embeddings:
        return _show(_embeddings(given, flags), out)
    if given is None:
        raise TwofoldError("--embeddings needs a value: a .npz or .parquet file")
    if given in ENCODERS or given.partition("/")[0] in {"timm", "torchvision"}:
        return _show(_by_name(given, flags), out)
    folder = check_run(Path(given))
    _show(_run(folder, flags), out)
    print(folder / EVALUATION)
    return 0


def _run(folder: Path, flags: Evaluate) -> dict[str, Any]:
    if flags.pretrained:
        raise TwofoldError("--pretrained is for encoders by name; a run has weights of its own")
    if flags.seed:
        raise TwofoldError("--seed is for encoders by name and embeddings; a run has its own")
    whole = load_config(folder / CONFIG)
    sets = _sets(flags) or [changed(whole.data, _plain(flags, ""))]
    sets = [heard(settings, whole.found.get("preprocess", {})) for settings in sets]
    for settings in sets:
        check_source(settings)

    from twofold.run import Run

    opened = _open(sets, whole.settings.seed, whole.recipe.domain)
    return Run(folder).evaluate(opened, **_how(flags), layer=flags.layer, baselines=flags.baselines)


def _by_name(name: str, flags: Evaluate) -> dict[str, Any]:
    _refuse_layer(flags)
    sets = _sets(flags) or [_plain(flags, "")]
    for settings in sets:
        check_source(settings)

    from twofold.evaluation import evaluate_by_name

    return evaluate_by_name(
        name,
        _open(sets, flags.seed),
        **_how(flags),
        pretrained=flags.pretrained,
        baselines=flags.baselines,
        seed=flags.seed,
    )


def _refuse_layer(flags: Evaluate) -> None:
    """Refuses a layer of a head where there is none."""
    if flags.layer != "features":
        raise TwofoldError("--layer is for runs, whose heads have layers; leave it out")


def _embeddings(given: str | None, flags: Evaluate) -> dict[str, Any]:
    _refuse_layer(flags)
    if given is not None:
        raise TwofoldError(f"--embeddings stands in place of {given}; judge one of them at a time")
    for known in dataclasses.fields(Sets):
        if known.name != "test_fraction" and getattr(flags.data, known.name) != known.default:
            raise TwofoldError(
                f"--{known.name.replace('_', '-')} is for items; a file of embeddings holds its "
                "own labels and parts"
            )
    if flags.pretrained:
        raise TwofoldError("--pretrained is for encoders by name; embeddings have no weights")

    from twofold.embeddings.read import check_file

    for path in flags.embeddings:
        check_file(path)

    from twofold.evaluation import evaluate_files

    return evaluate_files(
        flags.embeddings, test_fraction=flags.data.test_fraction, seed=flags.seed, **_how(flags)
    )


def _sets(flags: Evaluate) -> list[DataConfig]:
    """Every set of data that was named."""
    if len(flags.data.data) > 1 and flags.data.test:
        raise TwofoldError("--test holds test items of one set; give --data one set with it")
    return [_plain(flags, name) for name in flags.data.data]


def _plain(flags: Evaluate, name: str) -> DataConfig:
    """The flags about data, for the set of that name."""
    given = {
        field.name: getattr(flags.data, field.name) for field in dataclasses.fields(DataConfig)
    }
    return DataConfig(**given | {"data": name})


def _open(sets: list[DataConfig], seed: int, domain: str | None = None) -> list[Data]:
    from twofold.domains.names import told
    from twofold.launch import open_config

    return [open_config(settings, seed, domain or told(settings.data)) for settings in sets]


def _how(flags: Evaluate) -> dict[str, Any]:
    return {"probes": flags.probes, **vars(flags.options)}


def _show(figures: Mapping[str, Any], out: Path | None) -> int:
    """Prints figures of one set or of several, and writes them down if asked to."""
    from twofold.display import print_figures, print_transfer
    from twofold.distributed import rank

    if "transfer" in figures:
        print_transfer(figures["transfer"])
    else:
        print_figures(figures)
    if out is not None and rank() == 0:
        out.write_text(json.dumps(figures, indent=2) + "\n")
        print(out)
    return 0
