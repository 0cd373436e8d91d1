"""A method at work: an encoder, the heads of its objectives, and one pass for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from twofold.adapters import Adapted
from twofold.errors import TwofoldError, unknown
from twofold.networks import mlp_arguments, num_features
from twofold.objectives import Batch, Encoded, Known, Objective


class Method(nn.Module):
    """Encodes the views of a batch once and lets every objective read the features.

    Args:
        encoder: Any module with `num_features` that maps a batch of images to
            `(batch, num_features)`.
        objectives: What to learn, by name.
        encode: `joint` passes all views through the encoder as one batch, so that BatchNorm
            sees them together (SimCLR); `separate` passes them one by one (SimSiam, BYOL).
        known: What objectives may know of the training items: NCE how many there are, those that
            learn from labels how many classes, those that predict an augmentation what it offers.

    Example:
        >>> from twofold import build_encoder
        >>> from twofold.objectives import SimCLR
        >>> encoder = build_encoder("resnet-small", channels=1, image_size=28)
        >>> method = Method(encoder, {"contrast": SimCLR()})
        >>> sorted({name.split(".")[0] for name in method.state_dict()})
        ['encoder', 'heads']
    """

    def __init__(
        self,
        encoder: nn.Module,
        objectives: Mapping[str, Objective],
        *,
        encode: Literal["joint", "separate"] = "joint",
        known: Known | None = None,
    ) -> None:
        super().__init__()
        num_features(encoder)  # refuses what is no encoder
        self.encoder = encoder
        self.objectives = dict(objectives)
        self.encode = encode
        self.known = known or Known()
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleDict(dict(objective.heads(encoder, self.known)))
                for name, objective in self.objectives.items()
            }
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of each objective, by name."""
        routes = dict.fromkeys(self._route(objective) for objective in self.objectives.values())
        encoded = {
            route: Encoded(
                **vars(batch),
                features=self._features(batch.views, route),
                known=self.known,
                encode=partial(self._encode, route=route),
            )
            for route in routes
        }
        return {
            name: objective.loss(self.heads[name], encoded[self._route(objective)])
            for name, objective in self.objectives.items()
        }

    def bounds(self, batch_size: int) -> dict[str, tuple[float, float]]:
        """Of each loss its value at chance and its floor, where they are known."""
        found = {name: o.bounds(batch_size, self.known) for name, o in self.objectives.items()}
        return {name: bounds for name, bounds in found.items() if bounds is not None}

    def shared_parameters(self) -> list[nn.Parameter]:
        """What every route of the encoder uses."""
        if isinstance(self.encoder, Adapted):
            return self.encoder.shared_parameters()
        return list(self.encoder.parameters())

    def shared_layer(self, name: str | None = None) -> tuple[str, nn.Parameter]:
        """Name and weight of the layer on which the losses' gradients are compared.

        Args:
            name: A module of the encoder with a weight that every route uses; None for the last.

        Raises:
            TwofoldError: If there is no such module.
        """
        shared = set(self.shared_parameters())
        weights = {
            path.removesuffix(".weight"): parameter
            for path, parameter in self.encoder.named_parameters()
            if parameter in shared and parameter.ndim > 1 and path.endswith("weight")
        }
        if not weights:
            raise TwofoldError(
                "the encoder has no layer whose weight every route uses, so that gradients of "
                "several losses cannot be compared; give it one"
            )
        if name is None:
            name = [path for path in weights if not path.endswith("downsample.0")][-1]
        if name not in weights:
            raise unknown("shared layer", name, weights)
        return name, weights[name]

    def projector(self) -> nn.Sequential | None:
        """The first head of that name, whose layers can be read; None without one."""
        for name in self.objectives:
            head = dict(self.heads[name].named_children()).get("projector")
            if isinstance(head, nn.Sequential) and mlp_arguments(head) is not None:
                return head
        return None

    def fixed_rate(self) -> tuple[str, ...]:
        """Names of the modules whose learning rate stays at its peak."""
        return tuple(
            f"heads.{name}.{head}"
            for name, objective in self.objectives.items()
            for head in sorted(objective.fixed_rate())
        )

    def after_update(self, progress: float) -> None:
        """Lets each objective move what no gradient moves; `progress` runs from 0 to 1."""
        for name, objective in self.objectives.items():
            objective.after_update(self.heads[name], self.encoder, progress)

    def _route(self, objective: Objective) -> str | None:
        """Whose adapters encode what an objective reads; None where nothing is adapted."""
        return objective.route if isinstance(self.encoder, Adapted) else None

    def _features(self, views: tuple[Tensor, ...], route: str | None) -> tuple[Tensor, ...]:
        """Of every view that an objective of the route reads; nothing of the others."""
        readers = [o for o in self.objectives.values() if self._route(o) == route]
        features = [views[0].new_empty(0)] * len(views)
        for group in self._groups(views, [set(reader.reads) for reader in readers]):
            images = torch.cat([views[view] for view in group])
            encoded = self._encode(images, route)
            for view, part in zip(group, encoded.chunk(len(group)), strict=True):
                features[view] = part
        return tuple(features)

    def _encode(self, images: Tensor, route: str | None) -> Tensor:
        features: Tensor = self.encoder(images) if route is None else self.encoder(images, route)
        return features

    def _groups(self, views: tuple[Tensor, ...], reads: list[set[int]]) -> list[list[int]]:
        """Views that pass the encoder together: of one size, and joined by an objective.

        So E-SSL's turned views never enter the norms of the pair, whatever their size.
        """
        if self.encode == "separate":
            return [[view] for view in sorted(set().union(*reads))]
        joined: list[set[int]] = []
        for read in reads:
            apart = [group for group in joined if not group & read]
            joined = [*apart, read.union(*(group for group in joined if group & read))]
        alike: dict[tuple[int, torch.Size], list[int]] = {}
        for group in joined:
            for view in sorted(group):
                alike.setdefault((min(group), views[view].shape), []).append(view)
        return list(alike.values())
