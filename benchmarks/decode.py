"""Reading folders of JPEGs: images a second of one core, beside other decoders.

    .venv/bin/python benchmarks/decode.py

Photographs of two sizes become squares of three. Decoders take turns, in CPU seconds of one thread;
of each, the figure is the median of its turns. What a decoder makes is compared with what Pillow
makes of all pixels: the mean distance of values of 0 to 255. simplejpeg is timed where installed.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torchvision.io import decode_jpeg

from twofold.domains.image.decode import decode

PHOTOGRAPHS = ((500, 375), (2000, 1500))
SIZES = (32, 96, 224)
TURNS = 7
SECONDS = 0.1  # a turn takes about so long

Decode = Callable[[Path], np.ndarray]


def main() -> None:
    """Measures every case, prints a table and writes it to benchmarks/results/decode.json."""
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for (width, height), size in itertools.product(PHOTOGRAPHS, SIZES):
            path = photograph(Path(folder), width, height)
            for name, (rate, distance) in compared(path, size).items():
                rows.append({"photograph": [width, height], "size": size, "decoder": name})
                rows[-1] |= {"images_per_s": round(rate), "distance": round(distance, 2)}
                print(*rows[-1].values())
    result = {"pillow": PIL.__version__, "turns": TURNS, "rows": rows}
    (Path(__file__).parent / "results" / "decode.json").write_text(
        json.dumps(result, indent=2) + "\n"
    )


def photograph(folder: Path, width: int, height: int) -> Path:
    """A photograph that comes with scikit-learn, brought to a size."""
    path = folder / f"{width}x{height}.jpg"
    picture = Image.fromarray(load_sample_image("china.jpg"))
    picture.resize((width, height), Image.Resampling.LANCZOS).save(path, quality=90)
    return path


def compared(path: Path, size: int) -> dict[str, tuple[float, float]]:
    """Images a CPU second and distance from Pillow's full decoding, by decoder."""
    decoders: dict[str, Decode] = {
        "pillow": partial(_pillow, size=size),
        "torchvision": partial(_torchvision, size=size),
        "twofold": partial(decode, size=size, channels=3, deep=False),
    }
    if find_spec("simplejpeg"):
        decoders["simplejpeg"] = partial(_simplejpeg, size=size)
    exact = decoders["pillow"](path).astype(np.float32)
    repeats = max(1, round(SECONDS / min(_cpu_seconds(one, path, 1) for one in decoders.values())))
    turns = [
        {name: _cpu_seconds(one, path, repeats) for name, one in decoders.items()}
        for _ in range(TURNS)
    ]
    return {
        name: (
            1 / statistics.median(turn[name] for turn in turns),
            float(np.abs(decoder(path) - exact).mean()),
        )
        for name, decoder in decoders.items()
    }


def _cpu_seconds(decoder: Decode, path: Path, repeats: int) -> float:
    began = time.thread_time()
    for _ in range(repeats):
        decoder(path)
    return (time.thread_time() - began) / repeats


def _pillow(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        return _square(image, size)


def _torchvision(path: Path, size: int) -> np.ndarray:
    pixels = decode_jpeg(torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8))
    return _square(Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()), size)


def _simplejpeg(path: Path, size: int) -> np.ndarray:
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(
        path.read_bytes(), "RGB", min_height=2 * size, min_width=2 * size, min_factor=1
    )
    return _square(Image.fromarray(pixels), size)


def _square(image: Image.Image, size: int) -> np.ndarray:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    scaled = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return np.asarray(scaled).transpose(2, 0, 1)


if __name__ == "__main__":
    main()
