"""`twofold search`: the items nearest to a query."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from twofold.arguments import check_source, output, positional, required
from twofold.config import DataConfig, heard, load_config
from twofold.domains.query import check_query
from twofold.embeddings.read import check_file
from twofold.errors import TwofoldError
from twofold.flags import FLAT, parse
from twofold.folder import CONFIG, check_run


@dataclass(frozen=True, kw_only=True)
class Search:
    """Find the items that an encoder takes to be most like a query."""

    data: Annotated[DataConfig, FLAT] = field(default_factory=DataConfig)
    query: Path | None = None
    """An image file where items are images, or a .npy file of one item or several."""
    k: int = 10
    """How many items to find for each query, >= 1."""
    out: Path | None = None
    """Picture to write, .png: each query beside its items."""
    embeddings: Path | None = None
    """What `twofold embed` wrote of the data, so that it is not encoded again."""
    part: Literal["all", "train", "test"] = "all"
    """Which part of the data to search."""
    route: str = "all"
    """Whose features, of an encoder with routes; all puts them side by side."""
    layer: str = "features"
    """features, or projector.1 and so on for a layer of the head."""
    index: Literal["exact", "hnsw"] = "exact"
    """How to search: hnsw is approximate, takes faiss, and can pay for millions of items and tens
    of thousands of queries."""
    batch_size: int = 512
    """Items encoded at a time, > 0."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["float32", "bf16"] = "float32"
    """What the encoder computes in."""


def main(args: list[str]) -> int:
    """Finds the items nearest to a query and lists them."""
    given, args = positional(args, "RUN", "twofold search RUN --data D --query FILE")
    flags = parse(Search, args, prog="twofold search RUN")
    folder = check_run(Path(given))
    query = Path(required(flags.query, "--query", "an image file or a .npy file of items"))
    out = None if flags.out is None else output(flags.out, ".png")
    if flags.embeddings is not None:
        check_file(flags.embeddings)
        if out is not None and not flags.data.data:
            raise TwofoldError("--out shows the items themselves; name their --data, too")
    if flags.embeddings is None or flags.data.data:
        check_source(flags.data)
    whole = load_config(folder / CONFIG)
    settings = heard(flags.data, whole.found.get("preprocess", {}))
    check_query(query, whole.recipe.domain)

    from twofold.display import Console
    from twofold.hardware import detect
    from twofold.hits import search
    from twofold.launch import open_config

    with Console().task("searching"):
        hits = search(
            folder,
            # the test part is what the run held out
            open_config(settings, whole.settings.seed, whole.recipe.domain)
            if flags.data.data
            else None,
            query,
            flags.k,
            embeddings=flags.embeddings,
            part=flags.part,
            route=flags.route,
            layer=flags.layer,
            index=flags.index,
            batch_size=flags.batch_size,
            device=detect(device=flags.device).device,
            precision=flags.precision,
        )
    print(hits)
    if out is not None:
        print(hits.draw(out))
    elif hits.source is not None:
        print("note: --out FILE.png writes a picture of them", file=sys.stderr)
    return 0
