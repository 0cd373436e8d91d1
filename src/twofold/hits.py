"""Search: the items of some data that lie nearest to a query."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from twofold.clips import Clips
from twofold.domains.open import open_data
from twofold.domains.query import read_query
from twofold.embeddings import Embeddings, Items, Part, embed_items, read_embeddings
from twofold.encoder import Encoder, load
from twofold.errors import TwofoldError, unknown
from twofold.evaluate import neighbours
from twofold.preprocess import Preprocess
from twofold.reading import ALL, FEATURES
from twofold.report.hit_sheet import abridged, hit_sheet

_INDEXES = ("exact", "hnsw")
_ALIKE = 0.99  # least cosine between an embedding from a file and its item encoded again
_LINKS = 32  # of each item in hnsw's graph
_VISITED = (64, 4)  # items that hnsw visits: no fewer than the first, the second per neighbour


class Trained(Protocol):
    """What has been trained, such as the run that `pretrain` returns."""

    def encoder(self) -> Encoder:
        """Its encoder."""


@dataclass(frozen=True, eq=False)
class Hits:
    """What a search found: `k` items for each of `m` queries, the nearest first."""

    queries: tuple[str, ...]
    """What each query is called."""
    similarity: np.ndarray
    """Cosine similarity of each item to its query `(m, k)`, float32."""
    index: np.ndarray
    """Row of each item in `bank` `(m, k)`."""
    bank: Embeddings
    """What was searched."""
    asked: np.ndarray | Clips
    """The queries as stored `(m, channels, height, width)`; of recordings their clips."""
    preprocess: Preprocess
    """How the encoder reads them, and which values are black and white."""
    source: Items | None = None
    """The items that were searched; None if their data was not given."""
    places: np.ndarray | None = None
    """Place of each item in `source` `(m, k)`."""

    @property
    def ids(self) -> np.ndarray:
        """Name of each item, strings `(m, k)`."""
        ids: np.ndarray = self.bank.ids[self.index]
        return ids

    @property
    def labels(self) -> np.ndarray | None:
        """Class of each item by name, strings, or its numbers `(m, k)`; None if unknown."""
        return self._labels(self.index)

    @property
    def items(self) -> np.ndarray | None:
        """The items as stored `(m, k, channels, height, width)`; None without the data."""
        if self.source is None or self.places is None:
            return None
        stored = np.asarray(self.source.stored(self.places.reshape(-1)))
        return stored.reshape(*self.places.shape, *stored.shape[1:])

    def __str__(self) -> str:
        """A list for each query: rank, cosine similarity, part, id and label."""
        rows = [self._words(query) for query in range(len(self.queries))]
        widths = [max(map(len, column)) for column in zip(*chain(*rows), strict=True)]
        lines = []
        for name, found in zip(self.queries, rows, strict=True):
            lines.append(name)
            for rank, words in enumerate(found, start=1):
                padded = (word.ljust(width) for word, width in zip(words, widths, strict=True))
                lines.append("  ".join([f"{rank:>4}", *padded]).rstrip())
        return "\n".join(lines)

    def draw(self, out: str | Path) -> Path:
        """Writes a picture, .png, of each query beside its items, and returns its path.

        Raises:
            TwofoldError: If the data was not given to the search.
        """
        items = self.items
        if items is None:
            raise TwofoldError("a picture shows the items themselves; search with their data, too")
        captions = [
            ["  ".join(map(abridged, words)) for words in self._words(query)]
            for query in range(len(self.queries))
        ]
        sheet = hit_sheet(
            np.asarray(self.asked),
            items,
            captions,
            names=self.queries,
            title="The nearest items, by cosine similarity",
            low=self.preprocess.low,
            high=self.preprocess.high,
            domain=self.preprocess.domain,
        )
        sheet.save(out, format="PNG")
        return Path(out)

    def _words(self, query: int) -> list[list[str]]:
        """Similarity, part, id and label of each item found for a query, as far as known."""
        index = self.index[query]
        columns = [[f"{similarity:.4f}" for similarity in self.similarity[query].tolist()]]
        if self.bank.part is not None:
            columns.append(self.bank.part[index].tolist())
        columns.append(self.bank.ids[index].tolist())
        labels = self._labels(index)
        if labels is not None:
            columns.append([_label(value) for value in labels.tolist()])
        return [list(words) for words in zip(*columns, strict=True)]

    def _labels(self, index: np.ndarray) -> np.ndarray | None:
        if self.bank.labels is None:
            return None
        labels: np.ndarray = self.bank.labels[index]
        return np.asarray(self.bank.label_names)[labels] if self.bank.label_names else labels


def search(
    run: str | Path | Encoder | Trained,
    data: Any,
    query: Any,
    k: int = 10,
    *,
    embeddings: str | Path | Embeddings | None = None,
    part: Part = "all",
    route: str = ALL,
    layer: str = FEATURES,
    index: str = "exact",
    batch_size: int = 512,
    device: str = "cpu",
    precision: str = "float32",
) -> Hits:
    """Finds the items that an encoder takes to be most like a query.

    Args:
        run: A run, its folder, or an encoder.
        data: What to search; anything that `open_data` takes. None if `embeddings` are given and
            no picture is wanted.
        query: An image file, a .npy file of one item or several, or an array of items as
            `Encoder.embed` takes it.
        k: How many items for each query, from 1 to as many as there are.
        embeddings: Those of the data, or the file that holds them, so that it is not encoded
            again.
        part: `train`, `test` or `all`.
        route: As of `Encoder.embed`.
        layer: As of `Encoder.embed`.
        index: `exact` compares a query with every item. `hnsw` walks a graph of near items, which
            finds nearly all of the same, and takes faiss. With 50,000 items of 512 features on one
            thread the graph took 17 s to build and 0.5 ms a query, `exact` 0.4 ms a query: it can
            pay for millions of items and tens of thousands of queries. (faiss's own exact search
            took 0.45 s for a thousand queries where ours took 0.31 s, and 0.33 s for one where
            ours took 0.07 s.)
        batch_size: Items encoded at a time, > 0.
        device: Where to encode.
        precision: `float32` or `bf16`.

    Returns:
        The items found; `print` lists them and `draw` shows them.

    Raises:
        TwofoldError: If the query does not fit the encoder, `k` the data, or the embeddings
            either of them.

    Example:
        >>> from twofold.networks import build_encoder
        >>> from twofold.preprocess import measure
        >>> data = open_data("digits")
        >>> backbone = build_encoder("resnet-small", channels=1, image_size=8, width=0.25)
        >>> encoder = Encoder(backbone, measure(data.train.items))
        >>> hits = search(encoder, data, data.test.items[:1], k=3)
        >>> hits.similarity.shape, str(hits.ids[0, 0]) == data.test.ids[0]
        ((1, 3), True)

    Reference: Malkov & Yashunin, 2016, arXiv:1603.09320 (hnsw)
    """
    if index not in _INDEXES:
        raise unknown("index", index, _INDEXES)
    if index == "hnsw":
        _need_faiss()
    if embeddings is None and data is None:
        raise TwofoldError("there is nothing to search; give data, embeddings, or both")
    encoder = load(run) if isinstance(run, str | Path) else run
    encoder = encoder if isinstance(encoder, Encoder) else encoder.encoder()
    how: dict[str, Any] = {
        "route": route,
        "layer": layer,
        "batch_size": batch_size,
        "device": device,
        "precision": precision,
    }
    asked, names = _asked(query, encoder)
    wanted = encoder.embed(asked, **how)
    items = None
    if data is not None:
        scale = encoder.preprocess
        items = Items(open_data(data, domain=scale.domain, **scale.window), part)
    given = read_embeddings(embeddings) if isinstance(embeddings, str | Path) else embeddings
    if given is not None:
        bank = _of_part(given, part)
        if bank.dim != wanted.shape[1]:
            raise TwofoldError(
                f"the embeddings have {bank.dim} features and those of the query "
                f"{wanted.shape[1]}; name the route and layer that they were written with"
            )
    else:
        assert items is not None
        bank = embed_items(encoder, items, **how)
    similarity, found = _nearest(bank.embeddings, wanted, k, index)
    places = None
    if items is not None:
        places = found if given is None else _places(bank, found, items)
        if given is not None:
            again = encoder.embed(items.stored(places[0]), **how)
            _check_same(bank.embeddings[found[0]], again)
    return Hits(
        queries=names,
        similarity=similarity,
        index=found,
        bank=bank,
        asked=asked,
        preprocess=encoder.preprocess,
        source=items,
        places=places,
    )


def _asked(query: Any, encoder: Encoder) -> tuple[np.ndarray | Clips, tuple[str, ...]]:
    """The queries as stored, and what each is called."""
    if isinstance(query, str | Path):
        stored, name = read_query(Path(query), encoder.preprocess), Path(query).name
    else:
        stored, name = encoder.preprocess.stored(query), "query"
    if len(stored) == 1:
        return stored, (name,)
    return stored, tuple(f"{name} {number}" for number in range(len(stored)))


def _of_part(found: Embeddings, part: Part) -> Embeddings:
    """The embeddings of one part; those of a file that does not say are taken to be of it."""
    if part == "all" or found.part is None:
        return found
    return found.take(np.flatnonzero(found.part == part))


def _nearest(
    bank: np.ndarray, wanted: np.ndarray, k: int, index: str
) -> tuple[np.ndarray, np.ndarray]:
    """Cosine similarities and rows of the bank `(m, k)`, the nearest first."""
    if index == "hnsw" and 1 <= k <= len(bank):
        units = F.normalize(torch.from_numpy(bank)).numpy()
        faiss = _need_faiss()
        graph = faiss.IndexHNSWFlat(units.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efSearch = max(_VISITED[0], _VISITED[1] * k)
        graph.add(units)
        similarity, rows = graph.search(F.normalize(torch.from_numpy(wanted)).numpy(), k)
        if (rows >= 0).all():  # what the graph does not reach is -1
            return similarity, rows
    near, at = neighbours(torch.from_numpy(bank), torch.from_numpy(wanted), k=k)
    return near.numpy(), at.numpy()


def _need_faiss() -> Any:
    try:
        return import_module("faiss")
    except ModuleNotFoundError:
        raise TwofoldError(
            "index hnsw needs faiss: pip install 'twofold[search]', or leave the index exact"
        ) from None


def _places(bank: Embeddings, found: np.ndarray, items: Items) -> np.ndarray:
    """Where the items found in a file of embeddings are among the items of the data."""
    everywhere = range(len(items))
    names: list[Any] = items.ids(everywhere)
    wanted: list[Any] = bank.ids[found.reshape(-1)].tolist()
    if len(set(names)) < len(names):  # the two parts count from 0 each
        if bank.part is None:
            raise TwofoldError(
                "training and test items of the data share ids and the embeddings do not say "
                "which part they are of; name the part"
            )
        names = list(zip(items.parts(everywhere), names, strict=True))
        wanted = list(zip(bank.part[found.reshape(-1)].tolist(), wanted, strict=True))
    places = dict(zip(names, everywhere, strict=True))
    for name in wanted:
        if name not in places:
            raise TwofoldError(
                f"the embeddings are of an item {name!r} that the data does not hold; give the "
                "data that they were written from"
            )
    return np.array([places[name] for name in wanted]).reshape(found.shape)


def _check_same(stored: np.ndarray, again: np.ndarray) -> None:
    """Refuses embeddings that are not this encoder's, by a few items that it encodes again."""
    alike = F.cosine_similarity(torch.from_numpy(stored), torch.from_numpy(again))
    if (least := float(alike.min())) < _ALIKE:
        raise TwofoldError(
            f"the embeddings are not this encoder's of this data: an item encoded again is at a "
            f"cosine of {least:.2f} to what was written; name the route and layer that they were "
            "written with, or embed the data again"
        )


def _label(value: Any) -> str:
    """A class by its name, or one or several numbers."""
    if isinstance(value, list):
        return ", ".join(map(_label, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
