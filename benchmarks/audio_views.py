"""Views of one-second clips per CPU-second, augmentation by augmentation, on one thread.

    OMP_NUM_THREADS=1 python benchmarks/audio_views.py

Each augmentation alone, applied to every clip; all of them as they are by default, each applied to
half of the clips; log-mel spectrograms alone; and a default view with its spectrogram. librosa's
pitch shift and time stretch, which take a clip at a time, stand beside twofold's. Clips are noise
of 16,000 samples. Rounds alternate, so that whatever else the machine does touches all; the fastest
round counts, as others were held up. The table is printed and written to docs/audio_benchmark.md,
the figures to benchmarks/results/audio_views.json. librosa runs in `.venv-bench` (made by
`make bench`), in a process of its own that this file starts with `--librosa`.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "audio_views.json"
PAGE = ROOT / "docs" / "audio_benchmark.md"
PEER = ROOT / ".venv-bench" / "bin" / "python"
RATE, BATCH, PEER_BATCH, ROUNDS = 16_000, 128, 8, 7
ALL, MEL, BOTH = "all by default", "log-mel spectrogram", "all by default, and log-mel"
SEVEN = "as recipes prescribe, and log-mel"
TOGETHER = (ALL, MEL, BOTH, SEVEN)
SHARED = ("pitch_shift", "time_stretch")

Round = Callable[[], object]


def sounds(count: int) -> np.ndarray:
    """Noise, float32 `(count, RATE)`."""
    noise = np.random.default_rng(0).normal(scale=0.1, size=(count, RATE))
    return noise.astype(np.float32)


def twofold_rounds() -> dict[str, Round]:
    """What makes one view of every clip of a batch, by what the view is of."""
    from twofold.augment import Views
    from twofold.augment.augmentation import Augmentation
    from twofold.domains.audio import AUDIO, render
    from twofold.domains.audio.domain import RECORDINGS
    from twofold.spectrogram import Spectrogram

    clips, index = torch.from_numpy(sounds(BATCH)).view(BATCH, 1, 1, RATE), np.arange(BATCH)
    spectrogram = Spectrogram(sample_rate=RATE, hop=512)

    def views(table: Mapping[str, Augmentation]) -> Views:
        prescription = dict.fromkeys(table, "invariant")
        return Views(table, prescription, channels=1, size=RATE, num_views=1, renderer=render)

    def alone(name: str) -> Round:
        always = views({name: replace(AUDIO[name], probability=1.0)})
        return lambda: always(clips, index, epoch=0)

    default, seven = views(AUDIO), views({name: AUDIO[name] for name in RECORDINGS.strong})
    return {name: alone(name) for name in AUDIO} | {
        ALL: lambda: default(clips, index, epoch=0),
        MEL: lambda: spectrogram(clips),
        BOTH: lambda: spectrogram(default(clips, index, epoch=0)[0][0]),
        SEVEN: lambda: spectrogram(seven(clips, index, epoch=0)[0][0]),
    }


def librosa_rounds() -> dict[str, Round]:
    """The same by librosa, a clip at a time, by as much as twofold draws on average."""
    from librosa.effects import pitch_shift, time_stretch

    clips = sounds(PEER_BATCH)
    semitones = np.linspace(-15, 15, PEER_BATCH)
    rates = np.linspace(0.5, 1.5, PEER_BATCH)

    def shifted() -> None:
        for clip, steps in zip(clips, semitones, strict=True):
            pitch_shift(clip, sr=RATE, n_steps=steps, n_fft=2048)

    def stretched() -> None:
        for clip, rate in zip(clips, rates, strict=True):
            time_stretch(clip, rate=rate, n_fft=2048)

    return {"pitch_shift": shifted, "time_stretch": stretched}


def timed(run: Round) -> float:
    """CPU seconds of one round."""
    start = time.process_time()
    run()
    return time.process_time() - start


def serve_librosa() -> None:
    """Answers each name on standard input with the CPU seconds of a round."""
    rounds = librosa_rounds()
    for run in rounds.values():
        run()
    for line in sys.stdin:
        print(timed(rounds[line.strip()]), flush=True)


def measure(peer: subprocess.Popen[str] | None) -> dict[str, dict[str, float]]:
    """Clips per CPU-second of the fastest of alternating rounds, by side and what is done."""
    rounds = twofold_rounds()
    for run in rounds.values():
        run()
    seconds: dict[str, dict[str, list[float]]] = {"twofold": {}, "librosa": {}}
    for _ in range(ROUNDS):
        for name, run in rounds.items():
            seconds["twofold"].setdefault(name, []).append(timed(run) / BATCH)
            if peer and peer.stdin and peer.stdout and name in SHARED:
                print(name, file=peer.stdin, flush=True)
                found = float(peer.stdout.readline()) / PEER_BATCH
                seconds["librosa"].setdefault(name, []).append(found)
    return {
        side: {name: 1 / min(found) for name, found in by_name.items()}
        for side, by_name in seconds.items()
    }


def page(found: dict[str, dict[str, float]], about: dict[str, object]) -> str:
    """The page of the documentation."""
    own, other = found["twofold"], found["librosa"]
    slowest = min((name for name in own if name not in TOGETHER), key=own.__getitem__)
    rows = [
        f"| {name} | {rate:,.0f} | {f'{other[name]:,.0f}' if name in other else ''} |"
        for name, rate in own.items()
    ]
    return "\n".join(
        [
            "# Views of sounds: how fast",
            "",
            "One-second clips at 16 kHz per CPU-second, on one thread of a CPU. Each augmentation",
            "stands alone, applied to every clip; *all by default* applies each to half of them,",
            "*as recipes prescribe* so applies MT-SLVR's seven.",
            f"The slowest is `{slowest}`.",
            "",
            "| what | twofold | librosa |",
            "| --- | ---: | ---: |",
            *rows,
            "",
            f"Made by `python benchmarks/audio_views.py` with torch {about['torch']}, clips of",
            f"{RATE:,} samples in batches of {BATCH}; the fastest of {ROUNDS} rounds. librosa",
            f"{about.get('librosa', '')} shifts and stretches over the same ranges, a clip at a"
            " time.",
            "",
        ]
    )


def main() -> None:
    """Measures, prints the page and writes it beside the figures."""
    torch.set_num_threads(1)
    if "--librosa" in sys.argv:
        serve_librosa()
        return
    about: dict[str, object] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rounds": ROUNDS,
    }
    if not PEER.exists():
        sys.exit("benchmarks/audio_views.py needs librosa in .venv-bench; run `make bench`")
    ask = [str(PEER), "-c", "import librosa; print(librosa.__version__)"]
    about["librosa"] = subprocess.run(
        ask, capture_output=True, text=True, check=True
    ).stdout.strip()
    command = [str(PEER), __file__, "--librosa"]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as peer:
        found = measure(peer)
        if peer.stdin:
            peer.stdin.close()
    text = page(found, about)
    print(text)
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    figures = {**about, "clips_per_cpu_second": found}
    RESULT.write_text(json.dumps(figures, indent=1) + "\n")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()
