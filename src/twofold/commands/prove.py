"""`twofold prove`: what an encoder keeps and ignores of each augmentation."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from twofold.arguments import changed, check_source, output, positional
from twofold.config import DataConfig, heard, load_config
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, EVALUATION, check_run
from twofold.networks.names import ENCODERS


@dataclass(frozen=True, kw_only=True)
class Prove:
    """Find out what an encoder keeps of each augmentation."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    augmentations: tuple[str, ...] = ()
    """Which to look at; those prescribed something but off, or all of an encoder by name."""
    ceiling_epochs: int = 2
    """Epochs of encoders trained to recover one augmentation alone, beside which a run's is judged;
    0 for none."""
    pretrained: bool = False
    """Fetch the published weights of an encoder by name; they are random otherwise."""
    seed: int = 0
    """Of draws, probes, splits and random weights for an encoder by name; a run has its own."""
    out: Path | None = None
    """File to write for an encoder by name, .json; a run's findings go to its evaluation.json."""


def main(args: list[str]) -> int:
    """Finds out what an encoder keeps of each augmentation, and prints it."""
    given, args = positional(args, "RUN or ENCODER", "twofold prove RUN")
    flags = parse(Prove, args, prog="twofold prove RUN")
    if given in ENCODERS or given.partition("/")[0] in {"timm", "torchvision"}:
        return _prove_by_name(given, flags)
    folder = check_run(Path(given))
    whole = load_config(folder / CONFIG)
    settings = flags.data if flags.data.data else changed(whole.data, flags.data)
    check_source(settings)
    settings = heard(settings, whole.found.get("preprocess", {}))

    from twofold.display import print_proof
    from twofold.launch import open_config
    from twofold.run import Run

    proof = Run(folder).prove(
        open_config(settings, whole.settings.seed, whole.recipe.domain),
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
    from twofold.domains.names import told
    from twofold.launch import open_config
    from twofold.proof import prove_by_name

    proof = prove_by_name(
        name,
        open_config(flags.data, flags.seed, told(flags.data.data)),
        names=flags.augmentations,
        pretrained=flags.pretrained,
        seed=flags.seed,
    )
    print_proof(proof)
    if out is not None:
        out.write_text(json.dumps(proof, indent=2) + "\n")
        print(out)
    return 0
