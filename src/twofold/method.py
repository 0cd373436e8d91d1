"""A method at work: an encoder, the heads of its objectives, and one pass for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from twofold.adapters import Adapted
from twofold.distributed import gather
from twofold.errors import TwofoldError, unknown
from twofold.gradient_cache import Features, check_norms, encode_parts
from twofold.losses import info_nce, info_nce_bounds
from twofold.networks import mlp_arguments, num_features
from twofold.networks.names import BatchNorm
from twofold.objectives import Batch, Encoded, Known, Objective, Parts


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
        return self.losses(self.encoded(batch))

    def encoded(self, batch: Batch) -> dict[str | None, Encoded]:
        """The batch with its features, by the route that they are of."""
        if isinstance(batch, Parts):
            self.check_parts(batch.batch_norm)
            batch, features = encode_parts(self._by_route, batch, self.encoder)
        else:
            features = self._by_route(batch.views)
        return {
            route: Encoded(
                **vars(batch),
                features=of_views,
                known=self.known,
                encode=partial(self._encode, route=route),
            )
            for route, of_views in features.items()
        }

    def check_parts(self, batch_norm: BatchNorm | None) -> None:
        """Refuses batches in parts where they cannot be encoded, or not without saying how.

        Raises:
            TwofoldError: If an objective reads the views of a whole batch, or as `check_norms`.
        """
        for name, objective in self.objectives.items():
            if objective.needs_views:
                raise TwofoldError(
                    f"objective {name!r} ({type(objective).__name__}) reads the views of a whole "
                    "batch, which effective_batch does not hold; leave effective_batch out"
                )
        check_norms(self.encoder, batch_norm)

    def losses(self, encoded: Mapping[str | None, Encoded]) -> dict[str, Tensor]:
        """The loss of each objective, by name, from what `encoded` returns."""
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
        return self._projecting()[1]

    def projected(self, encoded: Mapping[str | None, Encoded]) -> tuple[Tensor, ...]:
        """The views that the objective with the projector reads, through the projector.

        Args:
            encoded: What `encoded` returns.
        """
        name, projector = self._projecting()
        assert projector is not None
        objective = self.objectives[name]
        batch = encoded[self._route(objective)]
        views = [view for view in objective.reads if view < len(batch.views)]
        return tuple(projector(batch.features[view]) for view in views)

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

    def _projecting(self) -> tuple[str, nn.Sequential | None]:
        """The first objective with a projector whose layers can be read, and that.

        What regresses labels is one, too: its numbers are those learned.
        """
        for name in self.objectives:
            heads = dict(self.heads[name].named_children())
            head = heads.get("projector")
            if isinstance(regressor := heads.get("regressor"), nn.Sequential):
                head = nn.Sequential(*regressor)  # without the targets' mean beside it
            if isinstance(head, nn.Sequential) and mlp_arguments(head) is not None:
                return name, head
        return "", None

    def _route(self, objective: Objective) -> str | None:
        """Whose adapters encode what an objective reads; None where nothing is adapted."""
        return objective.route if isinstance(self.encoder, Adapted) else None

    def _by_route(self, views: tuple[Tensor, ...]) -> Features:
        """The features of each route that an objective reads."""
        routes = dict.fromkeys(self._route(objective) for objective in self.objectives.values())
        return {route: self._features(views, route) for route in routes}

    def _features(self, views: tuple[Tensor, ...], route: str | None) -> tuple[Tensor, ...]:
        """Of every view that an objective of the route reads; nothing of the others."""
        there = range(len(views))
        readers = [o for o in self.objectives.values() if self._route(o) == route]
        features = [views[0].new_empty(0)] * len(views)
        for group in self._groups(views, [set(reader.reads) & {*there} for reader in readers]):
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


class Aligned(nn.Module):
    """Two methods, each on a source of its own, that learn which of their items are the same.

    With `z_v` and `w_v` what the projectors of both make of view `v` of the same items:

    `across = mean_v [InfoNCE(z_v, w_v) + InfoNCE(w_v, z_v)] / 2`

    each item against the other items of the other source. `within` is the mean of what the methods
    want for themselves, of those whose views differ.

    Args:
        data: Reads the first half of the views of a batch.
        beside: Reads the second.
        temperature: Divides the cosines of `across`, > 0.
        weights: Of the losses of `data`, of `beside` or of both, by name. One whose views do not
            differ has nothing to compare and no weights; without any, `across` is all that is
            learned, from one view of each item.

    Raises:
        TwofoldError: If a method has no projector, or the projectors end in other dimensions.

    Example:
        >>> from twofold.networks import build_encoder
        >>> from twofold.objectives import InfoNCE
        >>> pictures, states = (
        ...     Method(build_encoder("mlp", channels=n, image_size=1), {"contrast": InfoNCE()})
        ...     for n in (3, 2)
        ... )
        >>> shown = tuple(torch.randn(8, n, 1, 1) for n in (3, 2))
        >>> losses = Aligned(pictures, states)(Batch(views=shown, draws=(), index=torch.arange(8)))
        >>> {name: loss.ndim for name, loss in losses.items()}
        {'across': 0}

    Reference: Morgado et al., 2021, arXiv:2004.12943; the symmetric loss: Radford et al., 2021,
    arXiv:2103.00020.
    """

    def __init__(
        self,
        data: Method,
        beside: Method,
        *,
        temperature: float = 0.1,
        weights: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        super().__init__()
        self.data, self.beside = data, beside
        self.temperature, self.weights = temperature, dict(weights or {})
        self.objectives = ("across", "within") if self.weights else ("across",)
        ends = [_dimension(method) for method in self.sides.values()]
        if ends[0] != ends[1]:
            raise TwofoldError(
                f"the projectors end in {ends[0]} and {ends[1]} dimensions; items are compared in "
                "one space, so give both the same last width"
            )

    @property
    def sides(self) -> dict[str, Method]:
        """Both methods by name."""
        return {"data": self.data, "beside": self.beside}

    @property
    def encoder(self) -> nn.Module:
        """That of `data`, which a run counts as its own."""
        return self.data.encoder

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """`across`, and `within` if there are views to compare."""
        half = len(batch.views) // 2
        views = half if self.weights else 1
        encoded, embeddings = {}, []
        for (side, method), start in zip(self.sides.items(), (0, half), strict=True):
            shown = slice(start, start + views)
            part = replace(batch, views=batch.views[shown], draws=batch.draws[shown])
            encoded[side] = method.encoded(part)
            embeddings.append(tuple(map(gather, method.projected(encoded[side]))))
        losses = {"across": self._across(*embeddings)}
        if self.weights:
            own = {side: self.sides[side].losses(encoded[side]) for side in self.weights}
            losses["within"] = self._mean(own)
        return losses

    def check_parts(self, batch_norm: BatchNorm | None) -> None:
        """Refuses batches in parts: so far two sources are read together, as a whole."""
        del batch_norm
        raise TwofoldError("two encoders are trained on whole batches; leave effective_batch out")

    def bounds(self, batch_size: int) -> dict[str, tuple[float, float]]:
        """Of each loss its value at chance and its floor, where they are known."""
        across = info_nce_bounds(batch_size, temperature=self.temperature)
        found: dict[str, tuple[float, float]] = {"across": across}
        own = {side: self.sides[side].bounds(batch_size) for side in self.weights}
        if own and all(
            own[side].keys() == weights.keys() for side, weights in self.weights.items()
        ):
            chance, floor = (
                self._mean(
                    {side: {n: both[end] for n, both in o.items()} for side, o in own.items()}
                )
                for end in (0, 1)
            )
            found["within"] = (chance, floor)
        return found

    def shared_parameters(self) -> list[nn.Parameter]:
        """Those of both encoders that every route uses."""
        return [weight for method in self.sides.values() for weight in method.shared_parameters()]

    def shared_layer(self, name: str | None = None) -> tuple[str, nn.Parameter]:
        """A layer of an encoder that both losses read, as of that method."""
        return self.sides[next(iter(self.weights))].shared_layer(name)

    def fixed_rate(self) -> tuple[str, ...]:
        """Names of the modules whose learning rate stays at its peak."""
        return tuple(f"{side}.{name}" for side, m in self.sides.items() for name in m.fixed_rate())

    def after_update(self, progress: float) -> None:
        """Lets the objectives of both move what no gradient moves."""
        for method in self.sides.values():
            method.after_update(progress)

    def _across(self, *embeddings: tuple[Tensor, ...]) -> Tensor:
        """Each item finds its partner among the items of the other source, view by view."""
        contrast = partial(info_nce, temperature=self.temperature, shared=True)
        both = [contrast(z, w) + contrast(w, z) for z, w in zip(*embeddings, strict=True)]
        return torch.stack(both).mean() / 2

    def _mean(self, own: Mapping[str, Mapping[str, Any]]) -> Any:
        """The mean over methods of the weighted sums of what is known of their losses."""
        sums = (
            sum(self.weights[side][name] * value for name, value in values.items())
            for side, values in own.items()
        )
        return sum(sums) / len(own)


def _dimension(method: Method) -> int:
    """In how many dimensions the projector of a method ends."""
    projector = method.projector()
    if projector is None:
        raise TwofoldError(
            f"no objective of {', '.join(method.objectives)} has a projector that can be read; "
            "take a recipe that compares projections, such as info_nce"
        )
    linear = [layer for layer in projector if isinstance(layer, nn.Linear)]
    return linear[-1].out_features
