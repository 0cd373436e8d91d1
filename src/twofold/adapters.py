"""Several kinds of features from one encoder: most weights are shared, small parts are routed."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _NormBase

from twofold.errors import TwofoldError, unknown
from twofold.networks import Convolution, convolve, num_features

Kind = Literal["parallel", "series", "norm", "split"]
Trained = Literal["all", "adapters"]

_Norm = _NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm

_POINTWISE = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def adapt(
    encoder: nn.Module,
    routes: Sequence[str] = ("invariant", "sensitive"),
    kind: Kind = "parallel",
    *,
    shared: Sequence[str] | None = None,
    train: Trained = "all",
) -> Adapted:
    """A copy of an encoder that returns other features on each route; all start as the encoder's.

    What belongs to each route, beside the convolutions `conv` that all share:

    - `parallel`: a 1x1 convolution `A` in `norm(conv(x) + A(x))`, and `norm`, for every
      convolution wider than 1;
    - `series`: `A` and `BN` in `norm(y + A(BN(y)))` with `y = conv(x)`, and `norm`, for the same;
    - `norm`: the normalisations;
    - `split`: one linear layer that reads the features out.

    Every `A` starts at zero, and every norm as a copy of the encoder's, so that at first each
    route returns just what the encoder does.

    Args:
        encoder: Any network with `num_features`, of one, two or three spatial dimensions. It is
            not changed.
        routes: The routes' names, at least one.
        kind: What each route has of its own; `parallel` suits a pretrained encoder best.
        shared: Modules that stay shared as they are, as `layer1` or `layer1.0.bn1`, with all they
            contain. None: the first convolution and the first norm, that is the stem.
        train: `all`, or the `adapters` alone: the rest is frozen, and norms that are shared no
            longer update their statistics.

    Raises:
        TwofoldError: If a name is unknown or taken, or the encoder has nothing to adapt.

    Example:
        >>> from twofold.networks import build_encoder
        >>> encoder = build_encoder("resnet-small", channels=1, image_size=28)
        >>> adapted, images = adapt(encoder), torch.randn(2, 1, 28, 28)
        >>> torch.equal(adapted(images, route="sensitive"), encoder(images))
        True
        >>> adapted(images, route="all").shape == (2, 2 * adapted.num_features)
        True

    Reference: Rebuffi et al., 2017, arXiv:1705.08045, and 2018, arXiv:1803.10082; for contrast and
    prediction, Heggan et al., 2023, arXiv:2305.17191.
    """
    _check(routes, kind, train)
    switch, network = _Switch(), copy.deepcopy(encoder)
    readout: nn.Module = nn.Identity()
    if kind == "split":
        if shared is not None:
            raise TwofoldError("kind split shares the whole encoder; leave out shared")
        readout = _Routed({route: _identity(encoder) for route in routes}, switch)
    else:
        stem = _stem(network) if shared is None else tuple(shared)
        _route_layers(network, routes, kind, stem, switch)
    return Adapted(
        network, readout, switch, routes=tuple(routes), kind=kind, frozen=train == "adapters"
    )


class Adapted(nn.Module):
    """An encoder with several routes through it, as `adapt` makes it.

    Attributes:
        routes: The routes' names, in order.
        kind: What each route has of its own.
        num_features: Features that one route returns.
        frozen: Whether the adapters alone are trained.
    """

    def __init__(
        self,
        network: nn.Module,
        readout: nn.Module,
        switch: _Switch,
        *,
        routes: tuple[str, ...],
        kind: Kind,
        frozen: bool,
    ) -> None:
        super().__init__()
        self.network, self._switch = network, switch
        self.readout = readout.train(network.training)
        self.routes, self.kind, self.frozen = routes, kind, frozen
        self.num_features = num_features(network)
        self.training = network.training
        if frozen:
            self.requires_grad_(False)
            for route in routes:
                for parameter in self.route_parameters(route):
                    parameter.requires_grad_(True)
            self._rest_shared_norms()

    def forward(self, images: Tensor, route: str | None = None) -> Tensor:
        """Features `(batch, num_features)` of images on a route.

        Args:
            images: What the encoder reads.
            route: A name; None is the first route, and `all` puts the features of all routes side
                by side, `(batch, num_features * len(routes))`.

        Raises:
            TwofoldError: If there is no such route.
        """
        if route == "all":
            return torch.cat([self._features(images, name) for name in self.routes], dim=1)
        if route is not None and route not in self.routes:
            raise unknown("route", route, (*self.routes, "all"))
        return self._features(images, route or self.routes[0])

    def train(self, mode: bool = True) -> Adapted:
        """As for any module, but that shared norms of a frozen network keep their statistics."""
        super().train(mode)
        if self.frozen:
            self._rest_shared_norms()
        return self

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that every route uses."""
        routed = {parameter for name in self.routes for parameter in self.route_parameters(name)}
        return [parameter for parameter in self.parameters() if parameter not in routed]

    def route_parameters(self, route: str) -> list[nn.Parameter]:
        """The parameters that a route has of its own."""
        parts = (layer.routes[route] for layer in self._layers())
        return [parameter for part in parts for parameter in part.parameters()]

    def counts(self) -> dict[str, int]:
        """How many parameters are `shared`, and how many each route has of its own."""
        parts = {"shared": self.shared_parameters()}
        parts |= {route: self.route_parameters(route) for route in self.routes}
        return {name: sum(p.numel() for p in part) for name, part in parts.items()}

    def _features(self, images: Tensor, route: str) -> Tensor:
        before, self._switch.route = self._switch.route, route
        try:
            features: Tensor = self.readout(self.network(images))
        finally:
            self._switch.route = before
        return features

    def _layers(self) -> list[_Routed]:
        return [layer for layer in self.modules() if isinstance(layer, _Routed)]

    def _rest_shared_norms(self) -> None:
        routed = {module for layer in self._layers() for module in layer.modules()}
        for module in self.modules():
            if isinstance(module, _Norm) and module not in routed:
                module.eval()


class _Switch:
    """The route in force: one object in the hands of an adapted network and its routed layers."""

    route: str | None = None


class _Routed(nn.Module):
    """A layer of which each route has its own."""

    def __init__(self, parts: Mapping[str, nn.Module], switch: _Switch) -> None:
        super().__init__()
        self.routes = nn.ModuleDict(dict(parts))
        self.switch = switch

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.part(inputs)
        return outputs

    @property
    def part(self) -> nn.Module:
        """The layer of the route in force."""
        if self.switch.route is None:
            # as when gradient checkpointing runs a block again during the backward pass
            raise TwofoldError(
                "a layer of an adapted encoder was run outside its forward pass, which alone sets "
                "the route; call the adapted encoder as a whole, and checkpoint it as a whole"
            )
        return self.routes[self.switch.route]


class _Parallel(_Routed):
    """`conv(x) + A(x)` in one convolution: `A` is added to the centre of the kernel.

    The sum is exact for any stride, padding, dilation and groups. A layer that transforms its
    weight when it is run (weight standardisation) does so with `A` in it.
    """

    def __init__(self, conv: Convolution, routes: Sequence[str], switch: _Switch) -> None:
        if not isinstance(conv.weight, nn.Parameter):
            raise TwofoldError(
                "kind parallel adds to the weight of a convolution, but here is one that computes "
                "its weight, as weight and spectral normalisation do; use kind series"
            )
        super().__init__({route: _pointwise(conv, conv.in_channels) for route in routes}, switch)
        self.conv = conv
        self.margins: list[int] = []  # of the kernel around its centre, the last dimension first
        for width in reversed(conv.kernel_size):
            self.margins += [(width - 1) // 2, width // 2]

    def forward(self, maps: Tensor) -> Tensor:
        adapter = F.pad(self.part.get_parameter("weight"), self.margins)
        return convolve(self.conv, maps, weight=self.conv.weight + adapter)


class _Series(_Routed):
    """`y + A(BN(y))` with `y = conv(x)`."""

    def __init__(self, conv: Convolution, routes: Sequence[str], switch: _Switch) -> None:
        super().__init__({route: _after(conv) for route in routes}, switch)
        self.conv = conv

    def forward(self, maps: Tensor) -> Tensor:
        convolved = convolve(self.conv, maps)
        adapted: Tensor = self.part(convolved)
        return convolved + adapted


def _route_layers(
    network: nn.Module, routes: Sequence[str], kind: Kind, shared: Sequence[str], switch: _Switch
) -> None:
    """Replaces each layer that is not shared, and that the kind concerns, by a routed one."""
    named = list(network.named_modules(remove_duplicate=False))
    for prefix in shared:
        if not any(_within(name, prefix) for name, _ in named):
            raise unknown("shared module", prefix, [name for name, _ in named if name])
    made: dict[nn.Module, _Routed] = {}
    for name, layer in named:
        if not name or any(_within(name, prefix) for prefix in shared):
            continue
        if layer not in made and (routed := _routed(layer, routes, kind, switch)):
            made[layer] = routed.train(layer.training)
        if layer in made:
            network.set_submodule(name, made[layer])
    if not any(isinstance(routed, _WANTED.get(kind, _Routed)) for routed in made.values()):
        wanted = "convolution wider than 1" if kind in _WANTED else "norm"
        raise TwofoldError(
            f"kind {kind} needs a {wanted} outside what is shared (which is "
            f"{', '.join(shared) or 'nothing'}), and {type(network).__name__} has none; "
            "use kind split or share less"
        )


_WANTED = {"parallel": _Parallel, "series": _Series}


def _routed(layer: nn.Module, routes: Sequence[str], kind: Kind, switch: _Switch) -> _Routed | None:
    """What takes the place of a layer; None if it stays."""
    if isinstance(layer, _Norm) and layer.state_dict():
        return _Routed({route: copy.deepcopy(layer) for route in routes}, switch)
    if isinstance(layer, Convolution) and kind in _WANTED and max(layer.kernel_size) > 1:
        return _WANTED[kind](layer, routes, switch)
    return None


def _pointwise(conv: Convolution, channels: int) -> nn.Module:
    """A 1x1 convolution at zero from so many channels to those that `conv` returns."""
    make = _POINTWISE[len(conv.kernel_size)]
    adapter = make(channels, conv.out_channels, 1, groups=conv.groups, bias=False)
    nn.init.zeros_(adapter.weight)
    return adapter.to(conv.weight)


def _after(conv: Convolution) -> nn.Module:
    """The adapter that reads what a convolution returns."""
    norm = _BATCH_NORM[len(conv.kernel_size)](conv.out_channels).to(conv.weight)
    return nn.Sequential(norm, _pointwise(conv, conv.out_channels))


def _identity(encoder: nn.Module) -> nn.Module:
    """A linear layer that returns an encoder's features as they are."""
    dim = num_features(encoder)
    layer = nn.Linear(dim, dim).to(next(encoder.parameters(), torch.empty(0)))
    nn.init.eye_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def _stem(network: nn.Module) -> tuple[str, ...]:
    """The names of the first convolution and the first norm."""
    firsts: list[str] = []
    for sort in (Convolution, _Norm):
        firsts += [name for name, layer in network.named_modules() if isinstance(layer, sort)][:1]
    return tuple(firsts)


def _within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _check(routes: Sequence[str], kind: str, train: str) -> None:
    if kind not in get_args(Kind):
        raise unknown("kind of adapters", kind, get_args(Kind))
    if train not in get_args(Trained):
        raise unknown("part to train", train, get_args(Trained))
    if not routes or len(set(routes)) < len(routes):
        raise TwofoldError(f"routes must be one or more different names; they are {tuple(routes)}")
    for route in routes:
        taken = route in {"all", "shared"} or hasattr(nn.ModuleDict, route)
        if taken or not route.isidentifier():
            raise TwofoldError(
                f"a route's name must be a word that means nothing else; {route!r} is not free"
            )
