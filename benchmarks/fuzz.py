"""Looks for bytes that break a parser of files from strangers, those that reach new code first.

    python benchmarks/fuzz.py npy [-max_total_time=60]

`make torture` runs it on each of them. It needs atheris (`pip install atheris`), to which all but
the name goes. It ends when its time is up, or at bytes that raise anything but the one error that
users are told of; those it writes to a file in the working folder. The names are those of
tests/trust/corpus/fuzzed.py.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

import runs

sys.path.insert(0, str(runs.ROOT / "tests" / "trust" / "corpus"))
_PARSERS = ["twofold", "yaml", "numpy.lib", "tifffile"]  # what is compiled reports nothing


def fuzz(name: str, options: list[str]) -> None:
    """Fuzzes one parser, beginning with its sound file."""
    with atheris.instrument_imports(include=_PARSERS), tempfile.TemporaryDirectory() as folder:
        from fuzzed import TARGETS, try_bytes

        target = TARGETS[name]
        try_bytes(target, target.sound, Path(folder, "x"))  # much is imported where it is needed

    def once(contents: bytes) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TWOFOLD_CACHE"] = f"{folder}/cache"
            try_bytes(target, contents, Path(folder, "x"))

    with tempfile.TemporaryDirectory() as corpus:
        Path(corpus, "sound").write_bytes(target.sound)
        atheris.Setup([sys.argv[0], corpus, *options], once)
        atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], sys.argv[2:])
