"""`twofold simulate`: data made here, where none can be downloaded."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from twofold.arguments import output, positional, required
from twofold.errors import unknown
from twofold.flags import FLAT, parse
from twofold.simulation.trajectories import SYSTEMS, Conditions

_USAGE = f"twofold simulate jets|emoji|notes|speech|{'|'.join(SYSTEMS)} --out FILE.h5"


@dataclass(frozen=True, kw_only=True)
class Emoji:
    """The same concepts drawn by several artists; npm fetches the drawings, resvg renders them.

    They are kept in the cache, and what is made of them follows their licences.
    """

    sets: tuple[str, ...] = ()
    """Artists, two or more, the first of which settles the concepts; all seven if none."""
    packages: Path | None = None
    """Folder of packages (`npm pack @iconify-json/NAME`) to take, so that nothing is fetched."""
    size: int = 32
    """Height and width of a picture in pixels, from 8 to 512."""
    out: Path | None = None
    """File to write, .h5: X, labels, concept, artist."""
    workers: int | None = None
    """Processes; one for each processor if not given."""
    figure: Path | None = None
    """Picture to draw, .png: some concepts by every artist."""
    overwrite: bool = False
    """Replace a file at --out."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Jets:
    """Jets of two classes from Pythia 8 and FastJet, seen by a toy detector, not by CMS's own.

    The same call goes on where it was stopped; more jets keep those that were made.
    """

    task: Literal["quark-gluon", "top-qcd"] = "quark-gluon"
    """What there is to tell apart."""
    n: int | None = None
    """Number of jets, >= 2; half of each class."""
    out: Path | None = None
    """File to write, .h5: X_jets, y, m0, pt and more."""
    seed: int = 0
    """Of everything."""
    size: int = 40
    """Cells along each side of an image, a multiple of 5 from 20 to 125."""
    detector: Literal["cms", "truth"] = "cms"
    """A toy of CMS (magnetic field, tracks lost, HCAL in towers, resolution), or particles as they
    were made."""
    pt: tuple[float, ...] = ()
    """Lower and upper end of the transverse momentum in GeV; 500 550 for quark-gluon and 400 600
    for top-qcd if not given."""
    radius: float | None = None
    """Of the jets; 0.4 for quark-gluon, 0.8 for top-qcd."""
    workers: int | None = None
    """Processes; one for each processor if not given."""
    figure: Path | None = None
    """Picture to draw, .png: what was made, class by class."""
    overwrite: bool = False
    """Replace a file at --out."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Notes:
    """Single notes of instruments, which FluidSynth plays from soundfonts.

    The same call goes on where it was stopped; more notes keep those that were made.
    """

    n: int | None = None
    """Number of notes, families and soundfonts in turn."""
    out: Path | None = None
    """File to write, .h5: X, family, soundfont, program, pitch, velocity and more."""
    seed: int = 0
    """Of everything."""
    soundfonts: tuple[Path, ...] = ()
    """Files, .sf2 or .sf3; those of fluid-soundfont-gm, timgm6mb-soundfont and csound-soundfont
    if none."""
    seconds: float = 1.0
    """Length of a clip, from 0.1 to 60; the key is held for three quarters of it."""
    sample_rate: int = 16_000
    """Samples a second, from 8000 to 96000."""
    workers: int | None = None
    """Processes; one for each processor if not given."""
    figure: Path | None = None
    """Picture to draw, .png: the spectrogram of a note of each family and soundfont."""
    overwrite: bool = False
    """Replace a file at --out."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Single words, which espeak-ng speaks in many voices.

    The same call goes on where it was stopped; more words keep those that were made.
    """

    n: int | None = None
    """Number of clips, words and accents in turn."""
    out: Path | None = None
    """File to write, .h5: X, word, accent, voice, pitch, speed."""
    seed: int = 0
    """Of everything."""
    words: tuple[str, ...] = ()
    """What is said; the 35 words of Speech Commands if none."""
    accents: tuple[str, ...] = ()
    """English ones, such as en-us; all eight if none."""
    voices: tuple[str, ...] = ()
    """By espeak's names, such as f3; all that it has if none."""
    seconds: float = 1.0
    """Length of a clip, from 0.1 to 60; longer words are drawn again."""
    sample_rate: int = 16_000
    """Samples a second, from 8000 to 96000."""
    workers: int | None = None
    """Processes; one for each processor if not given."""
    figure: Path | None = None
    """Picture to draw, .png: the spectrograms of some words in each accent."""
    overwrite: bool = False
    """Replace a file at --out."""
    quiet: bool = False
    """Show no progress."""


@dataclass(frozen=True, kw_only=True)
class Trajectories:
    """Orbits of a mechanical system, as vectors or as pictures of two moments."""

    conditions: Annotated[Conditions, FLAT] = field(default_factory=Conditions)
    out: Path | None = None
    """File to write, .h5: X, orbit, t, what each orbit conserves, and more."""
    figure: Path | None = None
    """Picture to draw, .png: states, values and some of the pictures."""
    overwrite: bool = False
    """Replace a file at --out."""
    quiet: bool = False
    """Show no progress."""


def main(args: list[str]) -> int:
    """Makes data by simulation."""
    subject, args = positional(args, "SUBJECT", _USAGE)
    if subject not in SUBJECTS:
        raise unknown("subject", subject, SUBJECTS)
    return SUBJECTS[subject](args)


def _emoji(args: list[str]) -> int:
    flags = parse(Emoji, args, prog="twofold simulate emoji")
    out = Path(required(flags.out, "--out", "the file to write, *.h5"))
    figure = None if flags.figure is None else output(flags.figure, ".png")

    from twofold.simulation.emoji import simulate_emoji, summary, write_figure

    simulate_emoji(
        out,
        sets=flags.sets,
        packages=flags.packages,
        size=flags.size,
        workers=flags.workers,
        overwrite=flags.overwrite,
        quiet=flags.quiet,
    )
    return _told(out, summary(out), figure, write_figure)


def _jets(args: list[str]) -> int:
    flags = parse(Jets, args, prog="twofold simulate jets")
    out = Path(required(flags.out, "--out", "the file to write, *.h5"))
    n = required(flags.n, "--n", "the number of jets, e.g. 10000")
    figure = None if flags.figure is None else output(flags.figure, ".png")

    from twofold.simulation.jets import simulate_jets, summary, write_figure

    with _resumable():
        simulate_jets(
            out,
            task=flags.task,
            n=n,
            seed=flags.seed,
            size=flags.size,
            detector=flags.detector,
            pt=flags.pt or None,
            radius=flags.radius,
            workers=flags.workers,
            overwrite=flags.overwrite,
            quiet=flags.quiet,
        )
    return _told(out, summary(out), figure, write_figure)


def _sounds(args: list[str], *, subject: str, kind: type[Notes | Speech], example: str) -> int:
    flags = parse(kind, args, prog=f"twofold simulate {subject}")
    out = Path(required(flags.out, "--out", "the file to write, *.h5"))
    n = required(flags.n, "--n", example)
    figure = None if flags.figure is None else output(flags.figure, ".png")

    from twofold.simulation.sounds import simulate_notes, simulate_speech, summary, write_figure

    simulate = simulate_notes if subject == "notes" else simulate_speech
    others = {key: value for key, value in vars(flags).items() if key not in {"out", "n", "figure"}}
    with _resumable():
        simulate(out, n=n, **others)
    return _told(out, summary(out), figure, write_figure)


def _trajectories(args: list[str], *, system: str) -> int:
    flags = parse(Trajectories, args, prog=f"twofold simulate {system}")
    out = Path(required(flags.out, "--out", "the file to write, *.h5"))
    figure = None if flags.figure is None else output(flags.figure, ".png")

    from twofold.simulation.trajectories import simulate_trajectories, summary, write_figure

    simulate_trajectories(
        out, system, flags.conditions, overwrite=flags.overwrite, quiet=flags.quiet
    )
    return _told(out, summary(out), figure, write_figure)


@contextmanager
def _resumable() -> Iterator[None]:
    """Says how to go on with what Ctrl-C stops."""
    try:
        yield
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise


def _told(
    out: Path, lines: list[str], figure: Path | None, write_figure: Callable[[Path, Path], None]
) -> int:
    """Prints what a file holds, draws it if that is asked for, and names what was written."""
    for line in lines:
        print(line)
    if figure is not None:
        write_figure(out, figure)
        print(figure)
    print(out)
    return 0


SUBJECTS: dict[str, Callable[[list[str]], int]] = {
    "jets": _jets,
    "emoji": _emoji,
    "notes": partial(
        _sounds, subject="notes", kind=Notes, example="the number of notes, e.g. 6000"
    ),
    "speech": partial(
        _sounds, subject="speech", kind=Speech, example="the number of clips, e.g. 4000"
    ),
    **{system: partial(_trajectories, system=system) for system in SYSTEMS},
}
"""What can be simulated."""
