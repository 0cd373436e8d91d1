"""The icon sets that are drawn, each of one artist: which version, and what it must hash to."""

from __future__ import annotations

from typing import NamedTuple


class Pinned(NamedTuple):
    """One version of an icon set."""

    version: str
    """Of the package."""
    sha256: str
    """Of the packed file."""


SETS: dict[str, Pinned] = {
    "twemoji": Pinned("1.2.5", "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7"),
    "noto": Pinned("1.2.9", "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad"),
    "noto-v1": Pinned("1.2.5", "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37"),
    "openmoji": Pinned(
        "1.2.29", "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5"
    ),
    "fluent-emoji-flat": Pinned(
        "1.2.6", "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175"
    ),
    "emojione": Pinned("1.2.3", "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e"),
    "emojione-v1": Pinned(
        "1.2.3", "6641d59d48a42823fdc2b84e7427e9f302944eb98d2c7d94d6e67c139e7b37b3"
    ),
}
"""Those of Emoji-7 by name. The first draws nearly every concept, and so settles them."""
