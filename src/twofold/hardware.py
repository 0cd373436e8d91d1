"""What the machine offers: device, number of threads, and the precision that pays on it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from twofold.distributed import processes_here, world_size
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
    memory_format: Literal["channels_last", "contiguous"] = "channels_last"
    """Order of the values of maps and kernels in memory."""
    processes: int = 1
    """Processes that train together, each with such threads; they have equal shares of a batch."""
    renderer: Literal["torch", "fused"] = "torch"
    """What makes views of images."""

    @property
    def layout(self) -> torch.memory_format:
        """The memory format, as torch knows it."""
        if self.memory_format == "channels_last":
            return torch.channels_last
        return torch.contiguous_format

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

    Threads that compute and threads that prepare batches are together no more than the cores: of
    four or more cores one prepares, with an accelerator of two or more; of fewer all compute, and
    batches are prepared where they are used (`benchmarks/threads.py`). Of several processes on a
    machine each has its share of the cores.

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
    cores = max(1, (cores or 1) // processes_here())
    if threads is None:
        threads = cores - int(cores >= (4 if kind == "cpu" else 2))
    if loader_threads is None:
        loader_threads = int(threads < cores)
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
        processes=world_size(),
    )


def trusted(
    hardware: Hardware, network: nn.Module, shapes: Iterable[tuple[int, int, int]]
) -> Hardware:
    """`hardware`, in float32 where its bf16 is wrong for this network.

    On CPUs with AMX, oneDNN 3.12 reads memory that nobody wrote where a strided convolution in
    bf16 meets a map no wider than its stride: features of a narrow one, gradients of weights where
    the stride leaves the map. Nothing tells, so it is looked for in the shapes.

    Args:
        hardware: Where and how a run would compute.
        network: What it would compute, on any device.
        shapes: Channels, height and width of what the network reads.

    Example:
        >>> sound = Hardware(device="cpu", precision="bf16", threads=1, loader_threads=0)
        >>> trusted(sound, nn.Conv2d(1, 8, 3, stride=2), [(1, 64, 32)]).precision
        'bf16'
        >>> trusted(sound, nn.Conv2d(1, 8, (3, 1), stride=2), [(1, 64, 2)]).precision
        'float32'
    """
    if hardware.precision == "float32" or torch.device(hardware.device).type != "cpu":
        return hardware
    wrong = any(_meets_narrow_maps(network, shape) for shape in shapes)
    return replace(hardware, precision="float32") if wrong else hardware


def keep_within_bounds(network: nn.Module) -> None:
    """Has convolutions compute their gradients within their memory, where oneDNN does not.

    On CPUs with AVX2 and no more, oneDNN 3.12 writes past the end of a buffer for the gradient of
    the weight of a strided convolution of 1 x 1 with fewer than 8 input channels, if those are last
    in memory. Nothing tells until the process is aborted, so these get their maps contiguous.

    Args:
        network: Changed in place: a hook for each such convolution, and its weight's order.

    Example:
        >>> narrow = nn.Conv2d(4, 8, 1, stride=2).to(memory_format=torch.channels_last)
        >>> keep_within_bounds(narrow)
        >>> narrow(torch.rand(2, 4, 8, 8)).is_contiguous()
        True
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_narrow(module):
            module.weight.data = module.weight.data.clone(memory_format=torch.contiguous_format)
            if _made_contiguous not in module._forward_pre_hooks.values():
                module.register_forward_pre_hook(_made_contiguous)


def _is_narrow(convolution: nn.Conv2d) -> bool:
    strided = max(convolution.stride) > 1 and max(convolution.kernel_size) == 1
    return strided and convolution.in_channels // convolution.groups < 8


def _made_contiguous(module: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    del module
    return given[0].contiguous()


def _meets_narrow_maps(network: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether a strided convolution reads maps of a width within its stride."""
    found: list[bool] = []

    def look(convolution: nn.Conv2d, given: tuple[Tensor, ...]) -> None:
        (height, width), stride = given[0].shape[-2:], convolution.stride[1]
        found.append(width < stride or (width == stride > 1 and height > width))

    modes = [(module, module.training) for module in network.modules()]
    convolutions = [module for module, _ in modes if isinstance(module, nn.Conv2d)]
    hooks = [convolution.register_forward_pre_hook(look) for convolution in convolutions]
    first = next(network.parameters(), torch.empty(0))
    try:
        with torch.no_grad():
            network.eval()(first.new_zeros((1, *shape), dtype=torch.float32))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return any(found)


def _multiplies_bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu" and bool(torch.cpu._is_avx512_bf16_supported())
