"""`twofold embed`: embeddings of any items."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from twofold.arguments import check_source, output, positional
from twofold.config import DataConfig, load_config
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, check_run


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write the embeddings of any items."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """File to write, .npz: embeddings, ids, and labels if there are any."""
    part: Literal["all", "train", "test"] = "all"
    """Which part of the data."""
    route: str = "all"
    """Whose features, of an encoder with routes; all puts them side by side."""
    layer: str = "features"
    """features, or projector.1 and so on for a layer of the head."""


def main(args: list[str]) -> int:
    """Writes the embeddings of any items."""
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
