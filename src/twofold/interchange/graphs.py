"""An encoder as a graph of operations that runs without its code: ONNX, or torch.export's."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.export import Dim

from twofold.errors import TwofoldError
from twofold.preprocess import Preprocess

FACTS = "twofold.json"
"""Beside the graph in a file of torch.export: what else there is to know."""

_INPUT, _OUTPUT = "images", "features"
_ONNX = ("onnx", "onnxruntime", "onnxscript")
_BATCH = 2  # of the example; one item alone would be taken for a constant


class Standardized(nn.Module):
    """A network behind the scaling that its inputs need.

    Args:
        network: What reads items that are scaled.
        preprocess: The scaling; here items are stored as floats.

    Example:
        >>> scale = Preprocess(low=0, high=255, mean=(0.5,), std=(0.25,), size=2)
        >>> images = torch.tensor([0.0, 255.0]).view(2, 1, 1, 1)
        >>> Standardized(nn.Identity(), scale)(images).flatten().tolist()
        [-2.0, 2.0]
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess) -> None:
        super().__init__()
        self.network, self.preprocess = network, replace(preprocess, dtype="float32")

    def forward(self, images: Tensor) -> Tensor:
        """What the network makes of items `(batch, channels, height, width)` as stored."""
        unit = self.preprocess.unit(images, images.device)
        result: Tensor = self.network(self.preprocess.standardize(unit))
        return result


class Onnx:
    """A graph in ONNX, for onnxruntime and others.

    Args:
        network: Reads images `(batch, channels, size, size)` and returns features.
        shape: Channels, height and width of an image; the batch may be of any size.
        values: What images hold, in words.

    Raises:
        TwofoldError: If ONNX is not installed, or the network is no fixed graph.
    """

    reader = "onnxruntime"

    def __init__(self, network: nn.Module, shape: tuple[int, int, int], values: str) -> None:
        for package in _ONNX:
            if find_spec(package) is None:
                raise TwofoldError(
                    f"format onnx needs {package}, which is not installed; "
                    "pip install twofold[onnx]"
                )
        self.comment = _comment(shape, values)
        with _traced(network):
            program = torch.onnx.export(
                _exported(network, shape),
                dynamo=True,
                verbose=False,
                input_names=[_INPUT],
                output_names=[_OUTPUT],
            )
        assert program is not None
        self.model = program.model_proto
        self.opset: int | None = self.model.opset_import[0].version

    def write(self, facts: Mapping[str, str]) -> bytes:
        """The file."""
        for key, value in facts.items():
            self.model.metadata_props.add(key=key, value=value)
        data: bytes = self.model.SerializeToString()
        return data

    def read(self, data: bytes) -> Callable[[Tensor], Tensor]:
        """What onnxruntime makes of the file."""
        from onnxruntime import InferenceSession

        session = InferenceSession(data, providers=["CPUExecutionProvider"])
        return lambda images: torch.from_numpy(session.run(None, {_INPUT: images.numpy()})[0])

    def code(self, path: str) -> str:
        """The lines that load the file without twofold, and use it."""
        return "\n".join(
            (
                "import onnxruntime",
                "",
                f"session = onnxruntime.InferenceSession({path!r})",
                self.comment,
                f'features = session.run(None, {{"{_INPUT}": images}})[0]',
            )
        )


class Program:
    """A graph as `torch.export` keeps it, for PyTorch without the code of the network.

    Args:
        network: Reads images `(batch, channels, size, size)` and returns features.
        shape: Channels, height and width of an image; the batch may be of any size.
        values: What images hold, in words.

    Raises:
        TwofoldError: If the network is no fixed graph.
    """

    reader = "torch.export"
    opset = None

    def __init__(self, network: nn.Module, shape: tuple[int, int, int], values: str) -> None:
        self.comment = _comment(shape, values)
        with _traced(network):
            self.program = _exported(network, shape)

    def write(self, facts: Mapping[str, str]) -> bytes:
        """The file."""
        buffer = io.BytesIO()
        torch.export.save(self.program, buffer, extra_files={FACTS: json.dumps(dict(facts))})
        return buffer.getvalue()

    def read(self, data: bytes) -> Callable[[Tensor], Tensor]:
        """What torch makes of the file."""
        network: nn.Module = torch.export.load(io.BytesIO(data)).module()
        return torch.no_grad()(network.__call__)

    def code(self, path: str) -> str:
        """The lines that load the file without twofold, and use it."""
        return "\n".join(
            (
                "import torch",
                "",
                f"model = torch.export.load({path!r}).module()",
                self.comment,
                "with torch.no_grad():",
                f"    features = model({_INPUT})",
            )
        )


def _exported(network: nn.Module, shape: tuple[int, int, int]) -> torch.export.ExportedProgram:
    """The network's operations on batches of any size."""
    return torch.export.export(
        network,
        (torch.zeros(_BATCH, *shape),),
        dynamic_shapes=({0: Dim("batch")},),
        strict=False,
    )


def _comment(shape: tuple[int, int, int], values: str) -> str:
    return f"# {_INPUT}: float32 (batch, {', '.join(map(str, shape))}), {values}"


@contextmanager
def _traced(network: nn.Module) -> Iterator[None]:
    """Nothing is printed; a network that does not trace is refused in one line."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:  # whatever a network of the user's own may raise
        reason = " ".join(str(error).split())[:200]
        raise TwofoldError(f"the network is no fixed graph of operations: {reason}") from None
    finally:
        for logger, level in zip(loud, levels, strict=True):
            logger.setLevel(level)
