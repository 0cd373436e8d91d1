"""Augmentations of waveforms: what changes a sound's pitch, tempo, loudness, company and room.

A clip counts as a circle: what is moved out of it at one end enters at the other, and filters are
circular. Nothing is measured in hertz or seconds. What is drawn holds for all channels of a clip.
Importing this module loads neither torch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from twofold import augment
from twofold.augment.augmentation import Augmentation, between, circular, span, within
from twofold.errors import TwofoldError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from twofold.augment.augmentation import Values

_UNHEARD = 120.0  # dB; noise that far below a sound is what rounding to float32 adds


@dataclass(frozen=True, kw_only=True)
class PitchShift(Augmentation):
    """Higher or lower in pitch, as long and as fast as before: a phase vocoder, and resampling.

    Frequencies are multiplied by `2^(semitones / 12)`.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    semitones: float = 15.0
    """Largest shift either way, in [0, 24] semitones."""

    stage = "geometry"
    neutral: ClassVar[Mapping[str, float]] = {"semitones": 0.0}
    target = "continuous"
    words = "pitch {semitones:+.1f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "semitones", 0, 24)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The shift in semitones."""
        return {"semitones": between(numbers[:, 0], -self.semitones, self.semitones)}

    def factors(self, values: Values) -> tuple[np.ndarray | float, np.ndarray | float]:
        """What frequencies are multiplied by, and the tempo, which stays."""
        return 2 ** (values["semitones"] / 12), 1.0


@dataclass(frozen=True, kw_only=True)
class TimeStretch(Augmentation):
    """Faster or slower, at the same pitch: a phase vocoder.

    The view is as long as the clip: what is too long is cut off at the end, and what is too short
    starts again from the beginning.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    rate: tuple[float, float] = (0.5, 1.5)
    """Smallest and largest tempo as a share of the clip's own, in [0.25, 4]."""

    stage = "geometry"
    neutral: ClassVar[Mapping[str, float]] = {"rate": 1.0}
    target = "continuous"
    words = "tempo ×{rate:.2f}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "rate", 0.25, 4)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The tempo."""
        return {"rate": between(numbers[:, 0], *self.rate)}

    def factors(self, values: Values) -> tuple[np.ndarray | float, np.ndarray | float]:
        """What frequencies are multiplied by, as they stay, and the tempo."""
        return 1.0, values["rate"]


@dataclass(frozen=True, kw_only=True)
class TimeShift(Augmentation):
    """Later or earlier; what leaves the clip at one end enters at the other."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    share: float = 0.5
    """Largest shift either way as a share of the clip, in [0, 0.5]."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"shift": 0.0}
    target = "continuous"
    words = "shift {shift:+.0%}"

    def __post_init__(self) -> None:
        super().__post_init__()
        within(self, "share", 0, 0.5)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The shift as a share of the clip, later if it is positive."""
        return {"shift": between(numbers[:, 0], -self.share, self.share)}

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """The shift, or its sine and cosine where shifts either way come close to meeting."""
        if self.share > 0.25:
            return circular(values["shift"])
        return super().quantities(values)

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Moves by the nearest number of whole samples."""
        shift = (values["shift"] * images.shape[-1]).round().astype("int64").tolist()
        for image, samples in zip(images, shift, strict=True):
            image.copy_(image.roll(samples, dims=-1))
        return images


@dataclass(frozen=True, kw_only=True)
class Fade(Augmentation):
    """Faded in and out: multiplied at both ends by a curve that is 1 in between.

    A share u of the way in, it is `u` (linear), `1 + log10(0.1 + 0.9 u)` (logarithmic) or
    `u 2^(u - 1)` (exponential), one of the three for both ends, all equally likely. Where the two
    fades meet, the softer one counts.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    length: tuple[float, float] = (0.0, 0.5)
    """Shortest and longest fade as a share of the clip, in [0, 1]."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"fade_in": 0.0, "fade_out": 0.0, "shape": 0.0}
    target = "continuous"
    parameters = ("fade_in", "fade_out")
    words = "fade in {fade_in:.0%} out {fade_out:.0%}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "length", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The lengths as shares of the clip, and the number of the curve in `envelopes.CURVES`."""
        fade_in, fade_out = between(numbers[:, :2], *self.length).T
        return {"fade_in": fade_in, "fade_out": fade_out, "shape": numbers[:, 2] * 3 // 1}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Multiplies by the curves."""
        from twofold.domains.audio import envelopes

        return envelopes.fade(images, values["fade_in"], values["fade_out"], values["shape"])


@dataclass(frozen=True, kw_only=True)
class Gain(Augmentation):
    """Louder or softer: `x -> 10^(gain / 20) x`, not clipped."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    gain: tuple[float, float] = (-12.0, 12.0)
    """Smallest and largest gain, in [-100, 100] dB."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"gain": 0.0}
    target = "continuous"
    words = "gain {gain:+.0f} dB"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "gain", -100, 100)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The gain in dB."""
        return {"gain": between(numbers[:, 0], *self.gain)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Multiplies by it."""
        return images.mul_(augment.colour.column(10 ** (values["gain"] / 20), images))


@dataclass(frozen=True, kw_only=True)
class Noise(Augmentation):
    """Noise of a random colour, the same in all channels, at a signal-to-noise ratio.

    Over the clip and its channels `10 log10(P_signal / P_noise)` is what is drawn. Silence stays
    silence.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    snr: tuple[float, float] = (3.0, 30.0)
    """Smallest and largest signal-to-noise ratio, in [-60, 120] dB."""
    decay: tuple[float, float] = (-1.0, 0.0)
    """Smallest and largest exponent by which its amplitude falls with frequency, in [-4, 4]."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"snr": _UNHEARD, "decay": 0.0, "key": 0.0}
    target = "continuous"
    words = "noise {snr:.0f} dB"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "snr", -60, _UNHEARD)
        span(self, "decay", -4, 4)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The ratio, the colour, and the 32-bit key that the noise follows from."""
        return {
            "snr": between(numbers[:, 0], *self.snr),
            "decay": between(numbers[:, 1], *self.decay),
            "key": numbers[:, 2] * 2.0**32,
        }

    def quantities(self, values: Values) -> dict[str, np.ndarray]:
        """How loud the noise is as a share of the signal's amplitude, and its colour."""
        return {"level": 10 ** (-values["snr"] / 20), "decay": values["decay"]}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Adds the noise."""
        from twofold.domains.audio import noises

        return noises.add(images, values["key"], values["decay"], values["snr"])


@dataclass(frozen=True, kw_only=True)
class TimeMask(Augmentation):
    """A stretch of silence."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    width: tuple[float, float] = (0.0, 0.125)
    """Shortest and longest silence as a share of the clip, in [0, 1]."""

    stage = "colour"
    neutral: ClassVar[Mapping[str, float]] = {"width": 0.0, "start": 0.5}
    target = "continuous"
    words = "silent {width:.0%} at {start:.0%}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "width", 0, 1)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """How long it is and where it starts, as shares of the clip; it lies in the clip."""
        width = between(numbers[:, 0], *self.width)
        return {"width": width, "start": numbers[:, 1] * (1 - width)}

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Sets the samples to 0, from the nearest to where it starts to the nearest to its end."""
        from twofold.domains.audio import envelopes

        return envelopes.silence(images, values["start"], values["width"])


@dataclass(frozen=True, kw_only=True)
class FrequencyMask(Augmentation):
    """A band of frequencies taken out of the waveform.

    Its width is drawn in octaves, and where it lies, too: it is anywhere between half the sample
    rate and so many octaves below.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    width: tuple[float, float] = (0.25, 1.0)
    """Narrowest and widest band, in [0, 16] octaves."""
    reach: float = 6.0
    """How far below half the sample rate bands go, in [0, 16] octaves."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"width": 0.0, "centre": -3.0}
    target = "continuous"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "width", 0, 16)
        within(self, "reach", 0, 16)
        if self.width[1] > self.reach:
            found = f"FrequencyMask.width is {self.width} and its reach {self.reach}"
            raise TwofoldError(f"{found}; the widest band must be at most the reach")

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The width in octaves, and the octaves from half the sample rate to the centre, < 0."""
        width = between(numbers[:, 0], *self.width)
        lowest = -self.reach + width / 2
        return {"width": width, "centre": lowest + numbers[:, 1] * (self.reach - width)}

    def caption(self, values: Mapping[str, float]) -> str:
        """The band as shares of half the sample rate."""
        low, high = (2 ** (values["centre"] + side * values["width"] / 2) for side in (-1, 1))
        return f"without {low:.0%} to {high:.0%}"

    def response(self, values: Values, clips: Tensor) -> Tensor:
        """What multiplies the spectra of the clips, `(n, samples // 2 + 1)`."""
        from twofold.domains.audio import filters

        return filters.without_band(clips, values["centre"], values["width"])


@dataclass(frozen=True, kw_only=True)
class Filter(Augmentation):
    """A room: the sound itself, and echoes that are random and die away.

    The clip is convolved with a random impulse response, `δ(t) + wet r(t)`: r is noise of energy 1
    that decays exponentially.
    """

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""
    decay: tuple[float, float] = (0.02, 0.25)
    """Shortest and longest time in which echoes decay by 60 dB, as a share of the clip, in
    [0.001, 1]."""
    wet: tuple[float, float] = (0.2, 0.8)
    """Least and most of the echoes, as a share of the direct sound's amplitude, in [0, 10]."""

    stage = "filter"
    neutral: ClassVar[Mapping[str, float]] = {"decay": 0.0, "wet": 0.0, "key": 0.0}
    target = "continuous"
    parameters = ("decay", "wet")
    words = "room {decay:.0%} wet {wet:.0%}"

    def __post_init__(self) -> None:
        super().__post_init__()
        span(self, "decay", 0.001, 1)
        span(self, "wet", 0, 10)

    def draw(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """Decay and wetness, and the 32-bit key that the echoes follow from."""
        return {
            "decay": between(numbers[:, 0], *self.decay),
            "wet": between(numbers[:, 1], *self.wet),
            "key": numbers[:, 2] * 2.0**32,
        }

    def response(self, values: Values, clips: Tensor) -> Tensor:
        """What multiplies the spectra of the clips, `(n, samples // 2 + 1)`."""
        from twofold.domains.audio import filters

        return filters.room(clips, values, self.decay[1])


@dataclass(frozen=True, kw_only=True)
class Polarity(Augmentation):
    """The waveform upside down, which nobody hears: `x -> -x`."""

    probability: float = 0.5
    """Share of the samples it is applied to, in [0, 1]."""

    stage = "colour"
    words = "polarity"

    def render(self, images: Tensor, values: Values) -> Tensor:
        """Changes the sign of all samples."""
        del values
        return images.neg_()


AUDIO: dict[str, Augmentation] = {
    "pitch_shift": PitchShift(),
    "time_stretch": TimeStretch(),
    "time_shift": TimeShift(),
    "fade": Fade(),
    "gain": Gain(),
    "noise": Noise(),
    "mixed_noise": Noise(decay=(-2.0, 2.0)),
    "time_mask": TimeMask(),
    "frequency_mask": FrequencyMask(),
    "filter": Filter(),
    "polarity": Polarity(),
}
"""Every augmentation of waveforms by name, in the order applied.

Pitch shift, time stretch, time shift, fade, both noises and time mask are MT-SLVR's seven, with its
ranges; it applies as many as it draws in a random order, and here they keep this one.
"""
