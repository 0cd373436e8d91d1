"""What the machine offers: device, number of threads, and the precision that pays on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

import torch

from twofold.errors import TwofoldError

Precision = Literal["bf16", "float32"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """Where and how a run computes; recorded, so that a resumed run computes the same bits."""

    device: str
    """cpu, cuda, cuda:N or mps."""
    precision: Precision
    """What convolutions and matrix products are computed in; losses are in float32 always."""
    threads: int
    """Threads that compute, on a CPU."""
    loader_threads: int
    """Threads that prepare batches ahead; 0 prepares each where it is used."""

    def autocast(self) -> torch.autocast:
        """The context in which the encoder and heads run."""
        kind = torch.device(self.device).type
        return torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def detect(
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    loader_threads: int | None = None,
) -> Hardware:
    """Fills in what was left to the machine.

    A loader thread beside as many computing threads as there are cores pays only if idle OpenMP
    threads sleep (OMP_WAIT_POLICY=passive, which the command line sets); if they spin, it slows
    training several times, and batches are prepared where they are used instead.

    bf16 is chosen where the processor multiplies it natively (AVX-512 BF16, AMX, CUDA 8.0 and
    newer): there it is about twice as fast, at the same accuracy (`benchmarks/precision.py`).

    Example:
        >>> detect(device="cpu", precision="float32", threads=1).threads
        1
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise TwofoldError(f"device {device!r} cannot be used: {reason}") from None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    threads = cores if threads is None else threads
    if loader_threads is None:
        sleeps = os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive"
        loader_threads = 1 if sleeps or kind != "cpu" or threads < cores else 0
    if threads < 1 or loader_threads < 0:
        raise TwofoldError(
            f"threads must be at least 1 and loader_threads at least 0; they are {threads} and "
            f"{loader_threads}"
        )
    if precision == "auto":
        precision = "bf16" if _multiplies_bf16(kind) else "float32"
    return Hardware(
        device=device,
        precision="bf16" if precision == "bf16" else "float32",
        threads=threads,
        loader_threads=loader_threads,
    )


def _multiplies_bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
