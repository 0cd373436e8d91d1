"""What is read of an encoder: features of one route or of all, or a layer of its projector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from twofold.adapters import Adapted
from twofold.erasure import Eraser
from twofold.errors import TwofoldError, unknown
from twofold.networks import mlp_stages, num_features

ALL = "all"
"""The features of every route, side by side."""
FEATURES = "features"
"""What the encoder returns, before any head."""


class Readings(nn.Module):
    """Everything that can be read of an encoder: images in, embeddings by name out.

    `features` is what the encoder returns, or where it has routes, each route's features go by its
    name. `projector.1` is what the first layer of the head returns whose loss trained the encoder,
    and so on up to the embedding that its loss compares; the head reads the first route.

    Args:
        backbone: A network with `num_features`, with or without routes.
        projector: The head, if it is at hand.
        erasers: What is projected out of a reading, by its name.

    Example:
        >>> from twofold.networks import build_encoder, mlp
        >>> read = Readings(build_encoder("resnet-small", channels=1), mlp(256, 64, 32)).eval()
        >>> {name: tuple(z.shape) for name, z in read(torch.zeros(2, 1, 28, 28)).items()}
        {'features': (2, 256), 'projector.1': (2, 64), 'projector.2': (2, 32)}
    """

    def __init__(
        self,
        backbone: nn.Module,
        projector: nn.Sequential | None = None,
        erasers: Mapping[str, Eraser] | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.routes = backbone.routes if isinstance(backbone, Adapted) else ()
        self.stages = nn.ModuleList(mlp_stages(projector) if projector is not None else [])
        self.erasers = dict(erasers or {})
        self._erasers = nn.ModuleList(self.erasers.values())  # so that they move with the rest

    @property
    def layers(self) -> tuple[str, ...]:
        """`features`, and each layer of the projector."""
        return (FEATURES, *(f"projector.{number + 1}" for number in range(len(self.stages))))

    @property
    def names(self) -> tuple[str, ...]:
        """Of all embeddings."""
        return (*(self.routes or (FEATURES,)), *self.layers[1:])

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Embeddings `(batch, dim)` of preprocessed images, by name."""
        found = {name: self.features(images, name) for name in self.routes or (FEATURES,)}
        embeddings = next(iter(found.values()))
        for name, stage in zip(self.layers[1:], self.stages, strict=True):
            embeddings = found[name] = stage(embeddings)
        return {name: self.erased(name, embeddings) for name, embeddings in found.items()}

    def features(self, images: Tensor, name: str) -> Tensor:
        """The encoder's features on a route, nothing erased."""
        features: Tensor = self.backbone(images, name) if self.routes else self.backbone(images)
        return features

    def erased(self, name: str, embeddings: Tensor) -> Tensor:
        """A reading without what is to be projected out of it."""
        return self.erasers[name](embeddings) if name in self.erasers else embeddings


class Reading(nn.Module):
    """One reading of an encoder: images in, embeddings `(batch, num_features)` out.

    Args:
        readings: All that can be read.
        route: A route's name, or `all` for the features of every route side by side.
        layer: A name from `readings.layers`.

    Raises:
        TwofoldError: If there is no such route or layer, or the layer is of another route.

    Example:
        >>> from twofold.networks import build_encoder, mlp
        >>> readings = Readings(build_encoder("resnet-small", channels=1), mlp(256, 64, 32))
        >>> Reading(readings, layer="projector.2").num_features
        32
    """

    def __init__(self, readings: Readings, *, route: str = ALL, layer: str = FEATURES) -> None:
        super().__init__()
        if route not in (ALL, *readings.routes):
            raise unknown("route", route, (ALL, *readings.routes))
        if layer not in readings.layers:
            raise unknown("layer", layer, readings.layers)
        if layer != FEATURES and route not in (ALL, *readings.routes[:1]):
            raise TwofoldError(
                f"layer {layer!r} is of the head that reads the route {readings.routes[0]!r}; "
                f"leave out route {route!r}"
            )
        self.readings = readings
        self.depth = readings.layers.index(layer)
        self.names = (readings.routes or (FEATURES,)) if route == ALL else (route,)
        if self.depth:
            self.names = readings.names[:1]
        self.last = layer

    @property
    def num_features(self) -> int:
        """Dimension of an embedding."""
        if self.depth:
            layers = self.readings.stages[self.depth - 1].modules()
            return next(layer.out_features for layer in layers if isinstance(layer, nn.Linear))
        return num_features(self.readings.backbone) * len(self.names)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings `(batch, num_features)` of preprocessed images."""
        read = self.readings
        features = [read.features(images, name) for name in self.names]
        if not self.depth:
            pairs = zip(self.names, features, strict=True)
            return torch.cat([read.erased(name, found) for name, found in pairs], dim=1)
        embeddings = features[0]
        for stage in read.stages[: self.depth]:
            embeddings = stage(embeddings)
        return read.erased(self.last, embeddings)
