"""The fenced blocks of a document, and the commands in those of a shell."""

import re
import shlex
import textwrap
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)

NOT_RUN = {"cd", "git", "make", "mkdocs", "pip", "torchrun"}
"""What a document may tell its reader to run, and no test does."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: Path
    line: int
    language: str
    text: str


def blocks(document):
    """Every fenced block, in order."""
    text = document.read_text()
    return [
        Block(
            document,
            text.count("\n", 0, found.start()) + 1,
            found[2],
            textwrap.dedent(found[4]),
        )
        for found in FENCE.finditer(text)
    ]


def prose(document):
    """What stands outside the fenced blocks."""
    return FENCE.sub("", document.read_text())


def command_lines(text):
    """The arguments of every `twofold` line of a shell block.

    Lines that go on are joined and remarks left out; a command that is neither twofold's nor in
    `NOT_RUN` is refused.
    """
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "twofold":
            yield words[1:]
        else:
            assert words[0] in NOT_RUN, f"nothing runs `{line}`"
