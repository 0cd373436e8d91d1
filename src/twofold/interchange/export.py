"""Writes an encoder for other libraries, and checks that they compute the same features."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from twofold import __version__
from twofold.encoder import Encoder, load
from twofold.errors import TwofoldError
from twofold.folder import write_atomically
from twofold.interchange.formats import Format, check_format, infer_format
from twofold.interchange.graphs import Onnx, Program, Standardized
from twofold.interchange.libraries import Weights
from twofold.preprocess import Preprocess
from twofold.reading import ALL, FEATURES, Reading

_TOLERANCE = 1e-4  # of the largest feature
_BATCHES = (1, 5)  # items in the batches that are compared; none is the size of the example


@dataclass(frozen=True)
class Exported:
    """A file that another library reads, and how far its features are from twofold's."""

    path: Path
    """The file."""
    format: Format
    """What it is."""
    max_difference: float
    """Largest difference of any feature, over two batches of random images."""
    scale: float
    """Largest of those features."""
    opset: int | None
    """Version of ONNX's operators; None in other formats."""
    code: str
    """Lines of Python that load the file without twofold, and use it."""

    def __str__(self) -> str:
        """What `twofold export` prints."""
        opset = f"opset {self.opset}; " if self.opset else ""
        return (
            f"{self.path}: {opset}features differ from twofold's by {self.max_difference:.1e} at "
            f"most, and are as large as {self.scale:.3g}\n\n{self.code}"
        )


class _Form(Protocol):
    """An encoder in the form of another library."""

    @property
    def reader(self) -> str: ...
    @property
    def opset(self) -> int | None: ...
    def write(self, facts: Mapping[str, str]) -> bytes: ...
    def read(self, data: bytes) -> Callable[[Tensor], Tensor]: ...
    def code(self, path: str) -> str: ...


_GRAPHS: dict[str, Callable[[nn.Module, tuple[int, int, int], str], _Form]] = {
    "onnx": Onnx,
    "torch": Program,
}


def export(
    encoder: Encoder | str | Path,
    path: str | Path,
    *,
    format: Format | None = None,
    route: str = ALL,
    layer: str = FEATURES,
    preprocess: bool = True,
    without_erasers: bool = False,
) -> Exported:
    """Writes an encoder so that other libraries load it without twofold.

    - `torchvision`, `timm`: the weights in safetensors, under the library's own names. What has
      to be changed in its network for small images or other channels is in the lines of `code`.
    - `onnx`, `torch`: the computation itself, in ONNX or as `torch.export` keeps it, of any
      encoder, route or layer. It takes batches of any size, of images at the size that the
      encoder was trained for: at any other its features are not those that were judged.

    A graph reads images as they are stored, as float32: forgotten scaling is the commonest way
    to get wrong features from another's network, so it is part of the graph. Every file also
    carries the constants of the scaling and the lines that load it, as metadata of safetensors
    and ONNX, and as `twofold.json` in a file of `torch.export`.

    Two batches of random images are then encoded by the file and by twofold. If they differ, no
    file is left.

    Args:
        encoder: A trained encoder, or the folder of its run.
        path: The file to write: `.safetensors`, `.onnx` or `.pt2`.
        format: A key of `FORMATS`; by the ending of the file if None and that is clear.
        route: As of `Encoder.embed`; graphs alone.
        layer: As of `Encoder.embed`; graphs alone.
        preprocess: Whether a graph scales images itself; if not, it reads them at zero mean and
            unit variance per channel.
        without_erasers: Whether to leave out what makes features blind to an augmentation, which
            torchvision and timm have no place for.

    Returns:
        What was written, the largest difference found, and the lines that load it.

    Raises:
        TwofoldError: If the format cannot hold this encoder, a package is missing, or features
            differ by more than a ten-thousandth of the largest.

    Example:
        >>> export("runs/a", "encoder.onnx").max_difference  # doctest: +SKIP
        7.152557373046875e-07
    """
    path = Path(path)
    check_format(path, format)
    encoder = copy.deepcopy(encoder) if isinstance(encoder, Encoder) else load(encoder)
    encoder = Encoder(
        encoder.backbone,
        encoder.preprocess,
        encoder.spec,
        None if layer == FEATURES else encoder.projector,
        {} if without_erasers else encoder.readings.erasers,
    )
    encoder.cpu().requires_grad_(False)
    name = encoder.spec["name"] if encoder.spec else None
    chosen = format or infer_format(path, name)
    raw = preprocess and chosen in _GRAPHS
    reading = encoder.reading(route=route, layer=layer)
    form: _Form
    if chosen in _GRAPHS:
        form = _graph(_GRAPHS[chosen], reading, encoder.preprocess, raw=raw)
    else:
        form = Weights(encoder, chosen)
        given = {"route": route != ALL, "layer": layer != FEATURES, "preprocess": not preprocess}
        _check_weights(encoder, chosen, given)
    facts = {
        "twofold": __version__,
        "network": name or "a network of the user's own",
        "route": route,
        "layer": layer,
        "input": "as stored" if raw else "standardised",
        "channels": str(encoder.preprocess.channels),
        "load": form.code(path.name),
    }
    scaling = dataclasses.asdict(encoder.preprocess)
    data = form.write(facts | {key: json.dumps(value) for key, value in scaling.items()})
    difference, largest = _compare(form.read(data), reading, encoder.preprocess, raw=raw)
    if not difference <= _TOLERANCE * largest:
        raise TwofoldError(
            f"{form.reader} computes features that differ by {difference:.1e} from those of "
            f"twofold, which are as large as {largest:.1e}; {path} was not written"
        )
    write_atomically(path, data)
    return Exported(path, chosen, difference, largest, form.opset, form.code(str(path)))


def _graph(
    kind: Callable[[nn.Module, tuple[int, int, int], str], _Form],
    reading: Reading,
    scale: Preprocess,
    *,
    raw: bool,
) -> _Form:
    """A reading as a graph, which scales stored images itself if it gets them raw."""
    if raw:
        shape = (scale.channels, scale.height, scale.size)
        return kind(Standardized(reading, scale), shape, f"as stored: {scale.values}")
    return kind(reading, scale.read_shape(), "scaled as the encoder reads them")


def _check_weights(encoder: Encoder, library: str, given: Mapping[str, bool]) -> None:
    """Refuses what weights alone cannot say: these options, if they are given, and erasers."""
    if option := next((option for option, is_given in given.items() if is_given), None):
        raise TwofoldError(
            f"{option} is for formats onnx and torch; a file for {library} holds the weights of "
            "the encoder alone"
        )
    if FEATURES in encoder.readings.erasers:
        raise TwofoldError(
            f"an eraser makes these features blind, and {library} has no place for it; use format "
            "onnx or torch, or leave it out with --without-erasers"
        )


def _compare(
    found: Callable[[Tensor], Tensor], reading: Reading, scale: Preprocess, *, raw: bool
) -> tuple[float, float]:
    """The largest difference between what a file and twofold make of images, and twofold's largest.

    Args:
        found: What the file makes of images.
        reading: What twofold makes of standardised ones.
        scale: What standardises them.
        raw: Whether the file does so itself.
    """
    draws = torch.Generator().manual_seed(0)
    standardised = dataclasses.replace(scale, dtype="float32")
    differences, largest = [], []
    for count in _BATCHES:
        stored = torch.rand(count, scale.channels, scale.height, scale.size, generator=draws)
        if scale.sample_rate is None:  # in a graph, signals are of full scale 1
            stored = scale.low + (scale.high - scale.low) * stored
        images = standardised(stored)
        features = reading(images)
        differences.append((found(stored if raw else images) - features).abs().max())
        largest.append(features.abs().max())
    return torch.stack(differences).max().item(), torch.stack(largest).max().item()
