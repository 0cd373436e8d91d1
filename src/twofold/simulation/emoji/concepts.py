"""Which drawings of several artists show the same concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twofold.simulation.emoji.packages import Drawing, IconSet

_GENDERS = frozenset({"man", "men", "woman", "women"})


@dataclass(frozen=True)
class Concept:
    """What several artists have drawn."""

    name: str
    category: str
    drawings: dict[str, Drawing] = field(default_factory=dict)
    """By the names of their sets."""


def match_concepts(sets: Sequence[IconSet]) -> list[Concept]:
    """The concepts that two sets or more have drawn, by name.

    The first set settles what concepts there are, and the category of each. A drawing of another
    set shows the concept that its own name leads to, or else the first of its other names or code
    points that leads anywhere; of two that show the same, the one of that name is taken.

    Example:
        >>> heart = Drawing("red-heart", ("U+2764",), "Symbols", "")
        >>> other = Drawing("heavy-black-heart", ("U+2764",), "", "")
        >>> sets = [IconSet(n, "1", "MIT", "", (d,)) for n, d in (("a", heart), ("b", other))]
        >>> [(concept.name, list(concept.drawings)) for concept in match_concepts(sets)]
        [('red-heart', ['a', 'b'])]
    """
    usable = [d for d in sets[0].drawings if d.category and not is_variant(d.name)]
    concepts = {d.name: Concept(d.name, d.category) for d in usable}
    known = {name: name for name in concepts}
    for drawing in usable:
        for name in drawing.others:
            known.setdefault(name, drawing.name)
    for one in sets:
        for drawing in one.drawings:
            names = (drawing.name, *drawing.others)
            shown = next((known[name] for name in names if name in known), None)
            if shown is None or is_variant(drawing.name):
                continue
            found = concepts[shown].drawings
            if one.name not in found or drawing.name == shown:
                found[one.name] = drawing
    return [concepts[name] for name in sorted(concepts) if len(concepts[name].drawings) > 1]


def is_variant(name: str) -> bool:
    """Whether a drawing shows another one with a skin tone, a gender, a family or mirrored.

    Example:
        >>> [is_variant(name) for name in ("man-artist", "waving-hand-dark-skin-tone", "family")]
        [True, True, False]
        >>> [is_variant(name) for name in ("man", "artist", "flag-isle-of-man")]
        [False, False, False]
    """
    words = name.split("-")
    if "flag" in words:
        return False
    return (
        name.endswith(("skin-tone", "facing-right"))
        or (len(words) > 1 and not _GENDERS.isdisjoint(words))
        or (len(words) > 1 and words[0] == "family")
    )
