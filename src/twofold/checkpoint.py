"""Checkpoints: atomic, verified on reading, and made of nothing that runs code."""

from __future__ import annotations

import hashlib
import json
import struct
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from twofold.distributed import of_first
from twofold.errors import TwofoldError
from twofold.folder import write_atomically
from twofold.plain import plain_from_json

_KEEP = 2  # the newest, and the one before in case the newest is damaged


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and plain facts to one safetensors file, all of it or nothing.

    The file is written beside its final place, flushed to the disk and renamed. A digest of
    tensors and facts lies in its header.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts, sort_keys=True)
    data = save(held, metadata={"facts": text, "digest": _digest(held, text)})
    write_atomically(path, data)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `save_tensors` wrote and verifies it.

    Raises:
        TwofoldError: If the file is missing, cut short or changed.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise TwofoldError(f"{path} does not exist") from None
    except (SafetensorError, OSError, struct.error) as error:
        raise TwofoldError(f"{path} is damaged ({error})") from None
    text = header.get("facts", "")
    if header.get("digest") != _digest(tensors, text):
        raise TwofoldError(f"{path} is damaged (its digest does not match its contents)")
    try:
        found = plain_from_json(text)
    except ValueError as error:
        raise TwofoldError(f"{path} is damaged ({error})") from None
    if not isinstance(found, dict):
        raise TwofoldError(f"{path} is damaged (its facts are no mapping)")
    return tensors, found


def save_checkpoint(
    folder: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    balancer: torch.nn.Module,
    step: int,
) -> None:
    """Saves all that training needs to go on after `step`, and drops all but the newest two."""
    tensors = {f"method.{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"balancer.{name}": tensor for name, tensor in balancer.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{number}.{name}"] = torch.as_tensor(value)
    save_tensors(folder / f"step-{step:08d}.safetensors", tensors, {"step": step})
    for old in checkpoints(folder)[:-_KEEP]:
        old.unlink()


def restore(
    folder: Path,
    module: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    balancer: torch.nn.Module,
) -> int:
    """Loads the newest sound checkpoint into all three and returns its step; 0 if there is none.

    A damaged checkpoint is passed over for the one before, with a warning. Of several processes
    the first reads it for all.
    """
    tensors, step = of_first(lambda: _newest(folder))
    if tensors:
        module.load_state_dict(_below("method.", tensors))
        balancer.load_state_dict(_below("balancer.", tensors))
        optimizer.load_state_dict(_optimizer_state(optimizer, _below("optimizer.", tensors)))
    return step


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def _newest(folder: Path) -> tuple[dict[str, Tensor], int]:
    """What the newest sound checkpoint holds and its step, or nothing and 0."""
    for path in reversed(checkpoints(folder)):
        try:
            tensors, facts = load_tensors(path)
        except TwofoldError as error:
            warnings.warn(f"passed over a checkpoint: {error}", stacklevel=3)
            continue
        return tensors, int(facts["step"])
    return {}, 0


def _optimizer_state(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> dict[str, Any]:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = tensor
    return {"state": state, "param_groups": optimizer.state_dict()["param_groups"]}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
