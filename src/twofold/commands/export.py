"""`twofold export`: a trained encoder for other libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twofold.arguments import output, positional, required
from twofold.flags import parse
from twofold.folder import check_run
from twofold.interchange.formats import Format, check_format


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the encoder of a run so that other libraries load it without twofold."""

    out: Path | None = None
    """File to write: .safetensors, .onnx or .pt2."""
    format: Format | None = None
    """torchvision or timm (weights under their names), onnx or torch (the whole computation); by
    the ending of --out if that is clear."""
    route: str = "all"
    """Whose features, of an encoder with routes; all puts them side by side."""
    layer: str = "features"
    """features, or projector.1 and so on for a layer of the head."""
    preprocess: bool = True
    """Leave the scaling of stored items out of an onnx or torch file."""
    without_erasers: bool = False
    """Leave out what makes features blind to an augmentation."""


def main(args: list[str]) -> int:
    """Writes the file, and prints how exact it is and how to load it."""
    given, args = positional(args, "RUN", "twofold export RUN --out FILE")
    flags = parse(Export, args, prog="twofold export RUN")
    folder = check_run(Path(given))
    out = required(flags.out, "--out", "the file to write: *.safetensors, *.onnx or *.pt2")
    check_format(out, flags.format)
    output(out, out.suffix)

    from twofold.interchange import export

    print(
        export(
            folder,
            out,
            format=flags.format,
            route=flags.route,
            layer=flags.layer,
            preprocess=flags.preprocess,
            without_erasers=flags.without_erasers,
        )
    )
    return 0
