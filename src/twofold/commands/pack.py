"""`twofold pack`: any data as shards, to be mapped from a disk or fetched from elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from twofold.arguments import check_source, positional, required
from twofold.config import DataConfig
from twofold.domains.shard_index import check_new
from twofold.flags import FLAT, parse

_USAGE = "twofold pack D --out FOLDER"


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Pack items into shards, training and test items apart; what was stopped goes on."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    domain: str | None = None
    """What kind of items they are; told from the data if none."""
    out: Path | None = None
    """Folder of the shards; created."""
    shard_mb: float = 128.0
    """Megabytes of a shard, > 0."""
    seed: int = 0
    """Of the order, and of the split where none is given."""
    overwrite: bool = False
    """Replace shards that --out already holds."""
    quiet: bool = False
    """Show no progress."""


def main(args: list[str]) -> int:
    """Packs any items."""
    given, args = positional(args, "D", _USAGE)
    default = Pack(data=DataConfig(data=given))
    flags = parse(Pack, args, prog="twofold pack D", default=default)
    check_source(flags.data)
    out = Path(required(flags.out, "--out", "the folder of the shards, e.g. shards"))
    check_new(out, overwrite=flags.overwrite)

    from twofold.display import Console
    from twofold.domains.names import told
    from twofold.launch import open_config
    from twofold.packing import pack

    data = open_config(flags.data, flags.seed, flags.domain or told(flags.data.data))
    console = Console(quiet=flags.quiet)
    try:
        with console.task("packing") as progress:
            pack(
                data,
                out,
                shard_mb=flags.shard_mb,
                seed=flags.seed,
                overwrite=flags.overwrite,
                progress=lambda done, total: progress(f"{done:,} of {total:,} items"),
                note=lambda words: print(f"note: {words}", file=sys.stderr),
            )
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    shards = len(list(out.glob("*-*.h5")))
    print(f"{out}: {len(data.train):,} + {len(data.test):,} items in {shards:,} shards")
    return 0
