"""What the channels of a jet image hold, and which part of the detector they come from."""

from __future__ import annotations

PARTS = ("tracks", "ECAL", "HCAL")
"""What measures energies: the tracker and the two calorimeters."""

CHANNELS: dict[int, tuple[str, ...]] = {
    3: PARTS,
    8: ("tracks", "dz", "d0", "ECAL", "HCAL", "BPIX1", "BPIX2", "BPIX3"),
}
"""Names of the channels by how many there are; all but those of `PARTS` are the tracker's, too."""


def energies(channels: int) -> tuple[int, ...]:
    """Which of so many channels hold energies; impact parameters and pixel hits are none.

    Example:
        >>> energies(8), energies(1)
        ((0, 3, 4), (0,))
    """
    names = CHANNELS.get(channels)
    return tuple(channel for channel in range(channels) if names is None or names[channel] in PARTS)


def parts(channels: int) -> tuple[int, ...]:
    """The place in `PARTS` of the part of the detector that each of 3 or 8 channels comes from.

    Example:
        >>> parts(8)
        (0, 0, 0, 1, 2, 0, 0, 0)
    """
    return tuple(PARTS.index(name) if name in PARTS else 0 for name in CHANNELS[channels])
