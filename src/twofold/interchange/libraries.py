"""The weights of an encoder under the names that torchvision or timm give them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.preprocess import Preprocess

_SHARED = ("resnet18", "resnet34", "resnet50")
"""Our own networks that both libraries have under the same name, with the same keys."""


class Weights:
    """A safetensors file of weights, and the lines that put them into a library's own network.

    The network is the library's but for the layers in which the encoder's differs from it: a stem
    for small images, other channels, no classifier.

    Args:
        encoder: What to write.
        library: Whose names its weights go by: torchvision or timm.

    Raises:
        TwofoldError: If the library is not installed or has no such network.
    """

    reader = "the network it is loaded into"
    opset = None

    def __init__(self, encoder: Encoder, library: str) -> None:
        self.library, self.preprocess = library, encoder.preprocess
        ours, model = _network(encoder, library)
        self.tensors = {key: tensor.contiguous() for key, tensor in ours.state_dict().items()}
        with torch.random.fork_rng(devices=[]):
            self.network, self.creation = _create(library, model, encoder.spec or {})
        self.changes = _differences(self.network, ours)
        for name, layer in self.changes.items():
            self.network.set_submodule(name, copy.deepcopy(layer))

    def write(self, facts: Mapping[str, str]) -> bytes:
        """The file."""
        return save(self.tensors, metadata=dict(facts))

    def read(self, data: bytes) -> Callable[[Tensor], Tensor]:
        """The library's network with the weights of the file."""
        self.network.load_state_dict(load(data))
        network: nn.Module = self.network.eval()
        return network

    def code(self, path: str) -> str:
        """The lines that load the file without twofold, and use it."""
        scale = self.preprocess
        lines = [
            f"import {self.library}",
            "import torch",
            "from safetensors.torch import load_file",
            "",
            f"model = {self.creation}",
            *(f"model.set_submodule({n!r}, torch.nn.{c!r})" for n, c in self.changes.items()),
            f"model.load_state_dict(load_file({path!r}))",
            "model.eval()",
            "",
            f"mean = torch.tensor({list(scale.mean)}).view(-1, 1, 1)",
            f"std = torch.tensor({list(scale.std)}).view(-1, 1, 1)",
            f"# images: float32 (batch, {scale.channels}, {scale.size}, {scale.size}), "
            f"{scale.values}",
            *_scaling(scale),
            "features = model((unit - mean) / std)",
        ]
        return "\n".join(lines)


def _scaling(scale: Preprocess) -> Iterator[str]:
    """The lines that do what `unit` and the logarithm of a `Preprocess` do."""
    if scale.zero_below:
        yield f"images = images.masked_fill(images.abs() < {scale.zero_below}, 0)"
    yield f"unit = (images - {scale.low}) / {scale.high - scale.low}"
    if scale.gains:
        yield f"unit = unit * torch.tensor({list(scale.gains)}).view(-1, 1, 1)"
    if scale.bounded:
        yield "unit = unit.clamp(0, 1)"
    elif scale.clip:
        yield f"unit = unit.clamp(max={scale.clip})"
    if scale.log:
        yield "unit = unit.sign() * unit.abs().log1p()"


def _network(encoder: Encoder, library: str) -> tuple[nn.Module, str]:
    """The network as the library would build it, and what it calls it."""
    spec = encoder.spec or {}
    name, remedy = str(spec.get("name")), "onnx or torch"
    home, _, model = name.partition("/")
    if not spec:
        name = "a network of your own"
    elif "adapters" in spec:
        name = f"{name} with routes"
    elif spec.get("width", 1.0) != 1.0:
        name = f"{name} of width {spec['width']:g}"
    elif home == library:
        ours = encoder.backbone
        return (ours.get_submodule("network") if library == "torchvision" else ours), model
    elif name in _SHARED:
        return encoder.backbone, name
    elif model:
        remedy = f"{home}, {remedy}"
    raise TwofoldError(f"{name} is none of {library}'s networks; use format {remedy}")


def _create(library: str, model: str, spec: Mapping[str, Any]) -> tuple[nn.Module, str]:
    """The library's network with random weights, and the call that makes it."""
    if find_spec(library) is None:
        raise TwofoldError(
            f"format {library} needs {library}, which is not installed; "
            f"pip install twofold[{library}]"
        )
    function = "torchvision.models.get_model" if library == "torchvision" else "timm.create_model"
    size, channels = spec.get("image_size", 32), spec.get("channels", 3)  # as build_encoder has it
    options: dict[str, Any]
    if library == "torchvision":
        options = {"weights": None} | ({"image_size": size} if model.startswith("vit_") else {})
        choices = [options]
    else:
        options = {"num_classes": 0, "in_chans": channels}
        choices = [options | {"img_size": size}, options]  # convolutional ones know no such option
    module, _, attribute = function.rpartition(".")
    make = getattr(import_module(module), attribute)
    for options in choices:
        try:
            network: nn.Module = make(model, **options)
        except TypeError:
            continue
        told = "".join(f", {key}={value!r}" for key, value in options.items())
        return network, f"{function}({model!r}{told})"
    raise AssertionError(f"{library} made {model} before")


def _differences(theirs: nn.Module, ours: nn.Module) -> dict[str, nn.Module]:
    """The layers of ours that differ from theirs, by name; nothing in place of their classifier."""
    own, changes = dict(ours.named_modules()), {}
    for name, layer in theirs.named_modules():
        if any(layer.children()):
            continue
        if name in own:
            if repr(own[name]) != repr(layer):
                changes[name] = own[name]
        elif layer.state_dict():
            changes[name] = nn.Identity()
    return changes
