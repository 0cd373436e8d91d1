"""Small sounds, and files of them."""

import numpy as np
import soundfile


def tone(seconds=0.2, rate=8000, frequency=440.0, channels=1, level=0.5):
    """A sine of full scale 1, float64 `(frames, channels)`."""
    time = np.arange(round(seconds * rate)) / rate
    wave = level * np.sin(2 * np.pi * frequency * time)
    return np.repeat(wave[:, None], channels, axis=1)


def write_sound(path, samples=None, rate=8000, **how):
    """Writes samples, or a tone, to a file of any kind, and gives what was written."""
    wave = tone(rate=rate) if samples is None else samples
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), wave, rate, **how)
    return wave


def clip_of(items, number):
    """All samples of a clip `(frames, channels)`."""
    start, length = items.starts[number], items.lengths[number]
    return np.asarray(items.samples[start : start + length])
