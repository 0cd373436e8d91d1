"""The formats an encoder is exported in; known before torch is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from twofold.errors import TwofoldError, unknown

Format = Literal["torchvision", "timm", "onnx", "torch"]

FORMATS: dict[Format, str] = {
    "torchvision": ".safetensors",
    "timm": ".safetensors",
    "onnx": ".onnx",
    "torch": ".pt2",
}
"""Every format by name, and how its files end."""


def check_format(path: Path, format: str | None) -> None:
    """Refuses a format that there is none of, or a file whose name says otherwise.

    Args:
        path: The file to write.
        format: A key of `FORMATS`; None if the name of the file has to tell.

    Raises:
        TwofoldError: If they do not fit.

    Example:
        >>> check_format(Path("encoder.onnx"), None)
        >>> check_format(Path("encoder.onnx"), "torch")
        Traceback (most recent call last):
        twofold.errors.TwofoldError: encoder.onnx is to be of format torch; its name must end in ...
    """
    if format is not None and format not in FORMATS:
        raise unknown("format", format, FORMATS)
    suffixes = [FORMATS[format]] if format in FORMATS else list(dict.fromkeys(FORMATS.values()))
    if path.suffix not in suffixes:
        of = f"to be of format {format}" if format else "to be written"
        raise TwofoldError(f"{path} is {of}; its name must end in {' or '.join(suffixes)}")


def infer_format(path: Path, encoder: str | None) -> Format:
    """The format that the name of a file leaves no doubt about.

    Args:
        path: The file to write, as `check_format` accepts it.
        encoder: What the encoder goes by; None for a network of the user's own.

    Raises:
        TwofoldError: If there are several.

    Example:
        >>> infer_format(Path("encoder.pt2"), "resnet-small")
        'torch'
        >>> infer_format(Path("encoder.safetensors"), "timm/resnet10t")
        'timm'
    """
    fitting = [name for name, suffix in FORMATS.items() if suffix == path.suffix]
    home = (encoder or "").partition("/")[0]
    for name in fitting:
        if len(fitting) == 1 or name == home:
            return name
    raise TwofoldError(f"{path} may be of several formats; name one: {' or '.join(fitting)}")
