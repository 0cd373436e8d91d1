"""A trained encoder with all it needs to be used: its network and its preprocessing."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from twofold.adapters import adapt
from twofold.checkpoint import load_tensors, save_tensors
from twofold.erasure import Eraser
from twofold.errors import TwofoldError
from twofold.evaluate.features import features
from twofold.folder import CONFIG, ENCODER, ERASERS, PROJECTOR
from twofold.items import Items
from twofold.networks import build_encoder, mlp, mlp_arguments, num_features
from twofold.preprocess import Preprocess, read_preprocess
from twofold.reading import ALL, FEATURES, Reading, Readings

T = TypeVar("T", bound=nn.Module)


class Encoder(nn.Module):
    """Turns stored items into embeddings.

    Args:
        backbone: A network with `num_features`.
        preprocess: From stored values to what the backbone reads.
        spec: How `build_encoder` makes the backbone, and under `adapters` how `adapt` goes on;
            None for a network of the user's own.
        projector: The head whose loss trained it, to read its layers.
        erasers: What is projected out of each reading, by its name: that of augmentations to
            which the encoder is blind.
    """

    def __init__(
        self,
        backbone: nn.Module,
        preprocess: Preprocess,
        spec: Mapping[str, Any] | None = None,
        projector: nn.Sequential | None = None,
        erasers: Mapping[str, Eraser] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.preprocess, self.spec = backbone, preprocess, spec
        self.projector = projector
        self.readings = Readings(backbone, projector, erasers)

    @property
    def num_features(self) -> int:
        """Dimension of an embedding of one route."""
        return num_features(self.backbone)

    @property
    def routes(self) -> tuple[str, ...]:
        """Names of the routes; none if the network has no adapters."""
        return self.readings.routes

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers that can be read."""
        return self.readings.layers

    def reading(self, *, route: str = ALL, layer: str = FEATURES) -> Reading:
        """The network from images to the embeddings of one route, or of one layer."""
        return Reading(self.readings, route=route, layer=layer).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Features of preprocessed images, of every route side by side."""
        result: Tensor = self.reading()(images)
        return result

    def embed(
        self,
        items: Items | Tensor,
        *,
        route: str = ALL,
        layer: str = FEATURES,
        batch_size: int = 512,
        device: str = "cpu",
        precision: str = "float32",
    ) -> np.ndarray:
        """Embeddings `(n, dim)` in float32 of items as they are stored.

        Args:
            items: `(n, channels, height, width)`, or `(n, height, width)` for one channel, in the
                range and type of the training data.
            route: One of `routes`, or `all` for those of every route side by side.
            layer: One of `layers`: the encoder's `features`, or a layer of the head that its loss
                read, where what is prescribed `invariant` is recovered less easily.
            batch_size: Items encoded at a time.
            device: Where to compute.
            precision: `float32` or `bf16`.
        """
        return features(
            self.reading(route=route, layer=layer),
            self.preprocess.stored(items),
            self.preprocess,
            batch_size=batch_size,
            device=device,
            precision=precision,
        ).numpy()

    def save(self, path: Path) -> None:
        """Writes weights, network name and preprocessing to one safetensors file.

        Projector and erasers go to files of their own beside it, so that the encoder's holds
        nothing that other libraries would stumble over.
        """
        facts = {"spec": self.spec, "preprocess": dataclasses.asdict(self.preprocess)}
        save_tensors(path, self.backbone.state_dict(), facts)
        if self.projector is not None:
            shape = mlp_arguments(self.projector)
            save_tensors(path.with_name(PROJECTOR), self.projector.state_dict(), {"mlp": shape})
        if erasers := self.readings.erasers:
            tensors = {
                f"{name}/{key}": tensor
                for name, eraser in erasers.items()
                for key, tensor in eraser.state_dict().items()
            }
            save_tensors(path.with_name(ERASERS), tensors, {"readings": list(erasers)})


def load(run: str | Path, *, backbone: nn.Module | None = None) -> Encoder:
    """The encoder of a run, ready to embed.

    Args:
        run: A run folder, or an `encoder.safetensors`.
        backbone: The network, if the run trained one of the user's own.

    Raises:
        TwofoldError: If there is no finished encoder, the file is damaged, or a network is needed.
    """
    path = _file(run)
    tensors, facts = load_tensors(path)
    with _described_by(path):
        spec, preprocess = facts["spec"], read_preprocess(facts["preprocess"])
    if backbone is None and spec is None:
        raise TwofoldError(
            f"{path} holds a network of your own; pass it: load({str(run)!r}, backbone=...)"
        )
    with _described_by(path):
        network = backbone if backbone is not None else build(spec)
        network.load_state_dict(tensors)
    with _described_by(path.with_name(PROJECTOR)):
        projector = _load_projector(path.with_name(PROJECTOR))
    with _described_by(path.with_name(ERASERS)):
        erasers = _load_erasers(path.with_name(ERASERS))
    return Encoder(network.eval(), preprocess, spec, projector, erasers)


@contextmanager
def _described_by(path: Path) -> Iterator[None]:
    """A block that makes what a file describes; it may be of a stranger, and describe nothing."""
    try:
        yield
    except TwofoldError:
        raise
    except (
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        reason = str(error).splitlines()[-1].strip() if str(error) else type(error).__name__
        raise TwofoldError(
            f"{path} does not fit the network that it describes: {reason}; copy it again"
        ) from None


def domain_of(run: str | Path) -> str:
    """What kind of items the encoder of a run reads, or that of an `encoder.safetensors`."""
    return str(preprocess_of(run).get("domain", "image"))


def preprocess_of(run: str | Path) -> dict[str, Any]:
    """The preprocessing of that encoder, as its file holds it."""
    path = _file(run)
    with _described_by(path):
        return dict(load_tensors(path)[1]["preprocess"])


def _file(run: str | Path) -> Path:
    """The encoder's file; refuses a run that has none yet."""
    path = Path(run)
    path = path / ENCODER if path.is_dir() else path
    if not path.exists() and (path.parent / CONFIG).exists():
        raise TwofoldError(
            f"{path.parent} has no encoder yet; finish it with "
            f"`twofold pretrain --resume {path.parent}`"
        )
    return path


def build(spec: Mapping[str, Any]) -> nn.Module:
    """The network that a specification describes, with its adapters if it has any."""
    # Its weights lie beside the specification: nothing is fetched, whoever wrote it.
    plain = {name: value for name, value in spec.items() if name not in {"adapters", "pretrained"}}
    network = build_encoder(**plain)
    return adapt(network, **spec["adapters"]) if "adapters" in spec else network


def _load_projector(path: Path) -> nn.Sequential | None:
    if not path.exists():
        return None
    tensors, facts = load_tensors(path)
    shape = dict(facts["mlp"])
    projector = mlp(*shape.pop("widths"), **shape)
    projector.load_state_dict(tensors)
    return projector.eval()


def _load_erasers(path: Path) -> dict[str, Eraser]:
    if not path.exists():
        return {}
    tensors, facts = load_tensors(path)
    erasers = {}
    for name in facts["readings"]:
        dim, rank = tensors[f"{name}/left"].shape
        erasers[name] = Eraser(dim, rank)
        state = {key: tensors[f"{name}/{key}"] for key in erasers[name].state_dict()}
        erasers[name].load_state_dict(state)
    return erasers


def untrained(encoder: Encoder, *, seed: int, layer: str = FEATURES) -> nn.Module:
    """The same network before any training, every route of it: the baseline to beat."""
    return renewed(encoder, seed=seed).reading(layer=layer)


def renewed(encoder: Encoder, *, seed: int) -> Encoder:
    """The same encoder with random weights, its head too, and nothing erased.

    A network of the user's own is copied and every module that can be is reset.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = build(encoder.spec) if encoder.spec is not None else _reset(encoder.backbone)
        projector = None if encoder.projector is None else _reset(encoder.projector)
    return Encoder(fresh, encoder.preprocess, encoder.spec, projector)


def _reset(module: T) -> T:
    fresh = copy.deepcopy(module)
    for part in fresh.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
    return fresh
