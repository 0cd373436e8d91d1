"""`twofold embed`: embeddings of any items."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from twofold.arguments import check_source, output, positional
from twofold.config import DataConfig, heard, load_config
from twofold.embeddings.extras import need_pyarrow
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, SKIPPED, check_run, list_skipped


@dataclass(frozen=True, kw_only=True)
class Embed:
    """Write the embeddings of any items; what was stopped goes on when it is called again."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    out: Path | None = None
    """File to write, .npz or .parquet: embeddings, ids, part, and labels and paths if there are
    any."""
    part: Literal["all", "train", "test"] = "all"
    """Which part of the data."""
    route: str = "all"
    """Whose features, of an encoder with routes; all puts them side by side."""
    layer: str = "features"
    """features, or projector.1 and so on for a layer of the head."""
    batch_size: int = 512
    """Items encoded at a time, > 0."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; under torchrun each process takes a GPU of its own."""
    precision: Literal["float32", "bf16"] = "float32"
    """What the encoder computes in."""


def main(args: list[str]) -> int:
    """Writes the embeddings of any items."""
    given, args = positional(args, "RUN", "twofold embed RUN --data D --out FILE.npz")
    flags = parse(Embed, args, prog="twofold embed RUN")
    folder = check_run(Path(given))
    check_source(flags.data)
    out = output(flags.out, ".npz", ".parquet")
    if out.suffix == ".parquet":
        need_pyarrow(f"--out is {out}")
    whole = load_config(folder / CONFIG)
    settings = heard(flags.data, whole.found.get("preprocess", {}))

    from twofold.display import Console
    from twofold.distributed import own_device, rank, together
    from twofold.embeddings import write_embeddings
    from twofold.encoder import load
    from twofold.hardware import detect
    from twofold.launch import open_config

    encoder = load(folder)
    # the test part is what the run held out
    data = open_config(settings, whole.settings.seed, whole.recipe.domain)
    console = Console(quiet=rank() > 0)
    if rank() == 0:
        console.notes(list_skipped(data.skipped, out.with_suffix(f".{SKIPPED}")))
    with together(), console.task("embedding") as progress:
        shape = write_embeddings(
            encoder,
            data,
            out,
            part=flags.part,
            route=flags.route,
            layer=flags.layer,
            batch_size=flags.batch_size,
            device=own_device(detect(device=flags.device).device),
            precision=flags.precision,
            recipe=whole.recipe.name,
            progress=lambda done, total: progress(f"{done:,} of {total:,} items"),
            note=lambda words: print(f"note: {words}", file=sys.stderr),
        )
        first = rank() == 0
    if first:
        print(f"{out}: {shape[0]} embeddings of {shape[1]} features")
    return 0
