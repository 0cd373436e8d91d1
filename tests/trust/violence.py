"""A run that is killed again and again, and what must not differ from one that never was.

The run uses much of twofold on little data: images decoded from a folder into the cache, BYOL with
its moving target beside tasks on a route of their own, weighed by GradNorm, a memory of the best
epoch, and an evaluation. Processes are forked from one that has imported everything, so that a
death costs tenths of a second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

import twofold
from twofold.balance import Balance
from twofold.checkpoint import checkpoints, load_tensors
from twofold.errors import TwofoldError
from twofold.folder import ARTEFACTS, CHECKPOINTS, CONFIG, EVALUATION, METRICS, read_metrics
from twofold.recipes import Recipe

CACHE, RUN, SAID = "cache", "run", "said.txt"
CLOCK, START = "clock", "start"
TRAINING = ("checkpoints", CLOCK, METRICS, CLOCK, "candidates", CLOCK, CACHE, START)
EVALUATING = (CLOCK, EVALUATION, CLOCK, ARTEFACTS)
"""What processes die of in turn: a change to files of such a name, or the clock, which runs from
the birth of a process, or from when it first writes metrics."""
STOPPED = 130  # exit status of a process that was asked to stop, as of the command line
_PATIENCE = 600.0  # seconds after which a process hangs
_CHANGED = {"open": 0, "os.mkdir": 0, "os.rename": 0, "os.remove": 0}
"""System calls that change files, as Python's audit names them, and which argument is the file."""
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["PIL.ImageOps", "sklearn.datasets", "torch._dynamo", "twofold.evaluate.probes", "twofold.run"]
)


class Moment(NamedTuple):
    """A change to a file at which a process dies."""

    place: str
    """Part of the name of the file."""
    number: int
    """Which change to such files, from 1."""


@dataclass(frozen=True)
class Job:
    """A run and its evaluation, carried out as far as a process gets."""

    images: Path
    """What it trains on, a folder of images."""
    folder: Path
    """Holds cache, run and what was said."""
    epochs: int = 4
    """Of the training."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the run."""

    @property
    def run(self) -> Path:
        """The run folder."""
        return self.folder / RUN

    @property
    def said(self) -> str:
        """What all processes have printed."""
        path = self.folder / SAID
        return path.read_text() if path.exists() else ""


def recipe(epochs: int) -> Recipe:
    """One with much to lose between two steps."""
    begun = twofold.RECIPES["mt_slvr"]()
    contrast = twofold.RECIPES["byol"]().objectives["predict"]
    narrow = replace(contrast, route="invariant", projector=(32, 16), predictor=(32,))
    tasks = replace(begun.objectives["predict"], hidden=(16,))
    return replace(
        begun,
        objectives={"agree": narrow, "predict": tasks},
        balance=Balance(name="gradnorm"),
        encoder="resnet-small",
        width=0.25,
        batch_size=32,
        epochs=epochs,
        choose="rankme",
    )


def make_images(folder: Path, count: int = 160) -> None:
    """Digits as files, in one folder a class."""
    images, labels = load_digits(return_X_y=True)
    for number, (image, label) in enumerate(zip(images[:count], labels[:count], strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image.reshape(8, 8) * 15).astype(np.uint8)).save(path)


def carry_out(job: Job) -> None:
    """Begins the run or goes on with it, then evaluates it: what a process lives for."""
    os.environ["TWOFOLD_CACHE"] = str(job.folder / CACHE)
    learned = recipe(job.epochs)
    if (job.run / CONFIG).exists():
        run = twofold.resume(job.run, recipe=learned, quiet=True)
    else:
        run = twofold.pretrain(
            learned,
            data=job.images,
            out=job.run,
            threads=1,
            loader_threads=1,
            checkpoint_seconds=0.02,
            quiet=True,
            **job.settings,
        )
    if read_metrics(job.run)[-1]["kind"] != "end":
        sys.exit(STOPPED)
    run.evaluate(baselines=False, quiet=True)


def live(job: Job, moment: Moment | None, most_bytes: int | None) -> None:
    """The life of a process, which may end by a change to a file."""
    said = os.open(job.folder / SAID, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(said, 2)
    if most_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    if moment is not None:
        _die_at(moment, job.folder)
    try:
        carry_out(job)
    except (TwofoldError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except Exception:
        traceback.print_exc()
        raise


def _die_at(moment: Moment, folder: Path) -> None:
    """Has this process killed just before a change to a file below a folder."""
    seen = 0

    def watch(event: str, arguments: Sequence[Any]) -> None:
        nonlocal seen
        if event not in _CHANGED or (event == "open" and not _writes(arguments)):
            return
        path = str(arguments[_CHANGED[event]])
        if path.startswith(str(folder)) and moment.place in path.removeprefix(str(folder)):
            seen += 1
            if seen == moment.number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def _writes(arguments: Sequence[Any]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def born(job: Job, moment: Moment | None = None, most_bytes: int | None = None) -> BaseProcess:
    """A process that carries out a job, and dies at a change to a file if it is to.

    Args:
        job: What to carry out.
        moment: When it dies; the clock is the caller's.
        most_bytes: Size that no file can exceed, as if the disk were full.
    """
    job.folder.mkdir(exist_ok=True)
    process = _CONTEXT.Process(target=live, args=(job, moment, most_bytes), daemon=True)
    process.start()
    return process


def ended(process: BaseProcess) -> int:
    """Waits for a process and returns its exit status, or minus the signal it died of."""
    process.join(_PATIENCE)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"a process still lives after {_PATIENCE:.0f} s")
    return process.exitcode


def wait_until(condition: Callable[[], bool], process: BaseProcess) -> None:
    """Waits for something a living process does."""
    while not condition():
        process.join(0.005)
        if process.exitcode is not None:
            raise RuntimeError(f"the process ended before that, with {process.exitcode}")


def kill(job: Job, deaths: int) -> Counter[str]:
    """Carries out a job through so many deaths, a fifth of them after its last step.

    Returns:
        How many died of what.
    """
    evaluating = max(2, deaths // 5)
    found = torment(job, deaths - evaluating, places=TRAINING)
    finish(job)
    for name in (EVALUATION, ARTEFACTS):
        (job.run / name).unlink()
    found += torment(job, evaluating, places=EVALUATING, seed=1)
    finish(job)
    return found


def finish(job: Job) -> None:
    """Carries out what is left of a job."""
    if status := ended(born(job)):
        raise RuntimeError(f"a process ended with {status} in {job.folder}:\n{job.said}")


def torment(
    job: Job, deaths: int, *, places: Sequence[str], longest: float = 0.8, seed: int = 0
) -> Counter[str]:
    """Has processes carry out a job and die, each at another random moment.

    A process that gets to the end before its moment does not count.

    Args:
        job: What to carry out.
        deaths: How many die.
        places: What they die of in turn; of the clock where that does not come soon.
        longest: Seconds after which the clock kills at the latest, once a process is at work.
        seed: Of the moments.

    Returns:
        How many died of what; of the clock, at the `start`, in the `training` or after it.
    """
    rng, found = random.Random(seed), Counter[str]()
    for number in range(4 * deaths):
        place, seconds = places[number % len(places)], rng.uniform(0, longest)
        clock, before = place in (CLOCK, START), _written(job)
        process = born(job, None if clock else Moment(place, rng.randint(1, 4)))
        while place != START and process.exitcode is None and _written(job) == before:
            process.join(0.005)
        process.join(seconds if clock else longest)
        if by_clock := process.exitcode is None:
            process.kill()
        status = ended(process)
        if status == -signal.SIGKILL:
            found[_during(job) if by_clock and place != START else place] += 1
        elif status:
            raise RuntimeError(f"a process ended with {status} in {job.folder}:\n{job.said}")
        if found.total() == deaths:
            return found
    raise RuntimeError(f"of {4 * deaths} processes only {found.total()} died; make the run longer")


def _during(job: Job) -> str:
    """What a process does that is at work on a job."""
    lines = read_metrics(job.run)
    return "evaluation" if lines and lines[-1]["kind"] == "end" else "training"


def _written(job: Job) -> int:
    """When metrics were last written; a process does so before its first step, too."""
    path = job.run / METRICS
    return path.stat().st_mtime_ns if path.exists() else 0


def differences(first: Job, second: Job) -> list[str]:
    """Files of two finished runs that differ in more than times and rates; none if all is well."""
    return [name for name, (one, other) in _pairs(first.run, second.run) if one != other]


def _pairs(first: Path, second: Path) -> Iterator[tuple[str, tuple[Any, Any]]]:
    both = first, second
    yield "files", tuple(_files(run) for run in both)
    for name in sorted(_files(first)):
        if name == METRICS:
            yield name, tuple(_lines(run) for run in both)
        elif name.endswith(".npz"):
            yield name, tuple(_arrays(run / name) for run in both)
        elif name.endswith(".safetensors"):
            yield name, tuple(_tensors(run / name) for run in both)
        else:
            yield name, tuple((run / name).read_bytes() for run in both)


def _files(run: Path) -> set[str]:
    """All but the checkpoint before the newest, which time decides."""
    older = set(checkpoints(run / CHECKPOINTS)[:-1])
    return {
        str(path.relative_to(run))
        for path in run.rglob("*")
        if path.is_file() and path not in older
    }


def _lines(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / METRICS).read_text().splitlines()]
    timed = "elapsed", "images_per_s"
    return [{key: value for key, value in line.items() if key not in timed} for line in lines]


def _arrays(path: Path) -> dict[str, bytes]:
    with np.load(path) as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def _tensors(path: Path) -> tuple[dict[str, bytes], Any]:
    tensors, facts = load_tensors(path)
    plain = {name: tensor.flatten().view(torch.uint8) for name, tensor in tensors.items()}
    return {name: values.numpy().tobytes() for name, values in plain.items()}, facts


def steps(job: Job) -> list[int]:
    """Numbers of the steps that are written down."""
    return [line["step"] for line in read_metrics(job.run) if line["kind"] == "step"]
