"""Items by their places become embeddings, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from torch import Tensor

from twofold.clips import Clips
from twofold.embeddings.items import Items
from twofold.embeddings.read import Embeddings
from twofold.encoder import Encoder
from twofold.evaluate.features import encoding as encoding_batches
from twofold.reading import ALL, FEATURES, Reading

Encode = Callable[[np.ndarray | Clips], Tensor]
"""From items as they are stored to their embeddings `(batch, dim)`."""


@contextmanager
def encoding(
    encoder: Encoder, reading: Reading, *, precision: str, device: str
) -> Iterator[Encode]:
    """A block in which an encoder turns stored items into one of its readings."""
    prepare = encoder.preprocess
    with encoding_batches(reading, prepare, precision=precision, device=device) as encode:
        yield lambda items: encode(prepare.stored(items))


def encode_items(
    items: Items,
    places: range,
    encode: Encode,
    *,
    dim: int,
    batch_size: int,
    progress: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Embeddings `(len(places), dim)`, with no more than a batch of items in memory.

    Args:
        items: Where they are read.
        places: Which of them.
        encode: From stored items to their embeddings, as of `encoding`.
        dim: Dimension of an embedding.
        batch_size: Items encoded at a time.
        progress: Called after each batch with its size.
    """
    found = np.empty((len(places), dim), dtype=np.float32)
    for start in range(0, len(places), batch_size):
        batch = encode(items.stored(places[start : start + batch_size])).numpy()
        found[start : start + len(batch)] = batch
        progress(len(batch))
    return found


def embed_items(
    encoder: Encoder,
    items: Items,
    *,
    route: str = ALL,
    layer: str = FEATURES,
    batch_size: int = 512,
    device: str = "cpu",
    precision: str = "float32",
) -> Embeddings:
    """Embeddings of items, held in memory; all else as of `Encoder.embed`."""
    reading, places = encoder.reading(route=route, layer=layer), range(len(items))
    with encoding(encoder, reading, precision=precision, device=device) as encode:
        found = encode_items(items, places, encode, dim=reading.num_features, batch_size=batch_size)
    return Embeddings(
        embeddings=found,
        ids=np.asarray(items.ids(places)),
        labels=items.labels(places) if items.labelled else None,
        label_names=items.label_names if items.labelled else (),
        part=np.asarray(items.parts(places)),
        paths=np.asarray(items.paths(places)) if items.from_files else None,
    )
