"""Embeddings of any number of items, encoded by one process or several, into one file."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twofold.distributed import rank, together, wait_for_all, world_size
from twofold.domains import Data
from twofold.embeddings.encode import Encode, encode_items, encoding
from twofold.embeddings.extras import need_pyarrow
from twofold.embeddings.files import WRITERS
from twofold.embeddings.items import Items, Part
from twofold.embeddings.shards import Shards
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.evaluate.features import checksums
from twofold.reading import ALL, FEATURES

Progress = Callable[[int, int], object]
"""Called with how many items this process has encoded, and how many it encodes in all."""


def write_embeddings(
    encoder: Encoder,
    data: Data,
    out: str | Path,
    *,
    part: Part = "all",
    route: str = ALL,
    layer: str = FEATURES,
    batch_size: int = 512,
    device: str = "cpu",
    precision: str = "float32",
    recipe: str = "",
    progress: Progress = lambda done, total: None,
    note: Callable[[str], object] = warnings.warn,
) -> tuple[int, int]:
    """Writes embeddings, ids and what else is known of items to a .npz or .parquet file.

    Memory holds some thousand embeddings at a time, however many there are: each such shard goes
    to a file in `OUT.parts` beside `out`. A call that was stopped leaves them there, and the same
    call goes on with them. At the end they become one file.

    Under `torchrun` each process encodes its share of the shards, and the first writes the file:
    the same bytes, if the devices compute the same.

    Args:
        encoder: A trained encoder.
        data: The items.
        out: The file; one that is there is replaced at the end.
        part: `train`, `test` or `all`; all items of one array come in the order of the array.
        route: As of `Encoder.embed`.
        layer: As of `Encoder.embed`.
        batch_size: Items encoded at a time, > 0.
        device: Where to compute.
        precision: `float32` or `bf16`.
        recipe: Name of what trained the encoder, for the metadata of a .parquet file.
        progress: Called after each batch.
        note: Called with what the user ought to know.

    Returns:
        The shape of the embeddings.

    Raises:
        TwofoldError: If the encoder does not read such items, has no such route or layer, or
            another process ended too early.

    Example:
        >>> import tempfile
        >>> from twofold.domains.image import open_data
        >>> from twofold.embeddings import read_embeddings
        >>> from twofold.networks import build_encoder
        >>> from twofold.preprocess import measure
        >>> data = open_data("digits")
        >>> backbone = build_encoder("resnet-small", channels=1, image_size=8, width=0.25)
        >>> out = Path(tempfile.mkdtemp(), "e.npz")
        >>> write_embeddings(Encoder(backbone, measure(data.train.items)), data, out, part="test")
        (359, 64)
        >>> read_embeddings(out).embeddings.shape
        (359, 64)
    """
    out = Path(out)
    if out.suffix not in WRITERS:
        raise TwofoldError(f"out is {out}; its name must end in {' or '.join(WRITERS)}")
    if out.suffix == ".parquet":
        need_pyarrow(f"{out} is a .parquet file")
    if batch_size < 1:
        raise TwofoldError(f"batch_size is {batch_size}; it must be > 0")
    items = Items(data, part)
    reading = encoder.reading(route=route, layer=layer)
    facts = {"recipe": recipe, "encoder": encoder_digest(encoder), "route": route, "layer": layer}
    origin = _digest([facts, items.fingerprint, part, precision])
    shards = Shards(out, origin, count=len(items), dim=reading.num_features)
    with together("the same command goes on from there"):
        try:
            with encoding(encoder, reading, precision=precision, device=device) as encode:
                _fill(shards, items, encode, batch_size=batch_size, progress=progress)
        except TwofoldError:  # nothing that such an encoder gave may be used
            shards.clear()
            raise
        wait_for_all()
        if rank() == 0:
            _assemble(shards, items, facts)
            if shards.clear_others():
                note(f"{shards.above} held embeddings of another encoder or other data: removed")
            shards.clear()
    return shards.count, shards.dim


def encoder_digest(encoder: Encoder) -> str:
    """Sixteen hex digits that change with any weight, buffer, or value of the preprocessing."""
    tensors = {name: found.hex() for name, found in checksums(encoder).items()}
    return _digest([tensors, dataclasses.asdict(encoder.preprocess)])


def _fill(
    shards: Shards,
    items: Items,
    encode: Encode,
    *,
    batch_size: int,
    progress: Progress,
) -> None:
    """Encodes this process's shards, as far as they are not there."""
    blocks = shards.blocks
    own = range(rank(), len(blocks), world_size())
    missing = [number for number in own if not shards.holds(number)]
    done, total = 0, sum(len(blocks[number]) for number in missing)

    def tell(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    for number in missing:
        embeddings = encode_items(
            items, blocks[number], encode, dim=shards.dim, batch_size=batch_size, progress=tell
        )
        shards.write(number, embeddings)


def _assemble(shards: Shards, items: Items, facts: dict[str, Any]) -> None:
    """Makes one file of all shards, beside its place, then moves it there."""
    whole = shards.folder / shards.out.name
    WRITERS[shards.out.suffix](whole, items, shards, facts)
    with whole.open("rb") as file:
        os.fsync(file.fileno())
    whole.replace(shards.out)


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()
