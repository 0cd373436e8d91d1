"""Trains a method as a user of lightly would, for `methods.py` and `time_to_accuracy.py` to judge.

    PYTHONPATH=src .venv-bench/bin/python benchmarks/lightly_methods.py simclr --images train.npy \\
        --steps 500 --seed 0 --precision bf16 --out encoder.pt

Transforms, losses and optimiser are those of lightly's own script for small images,
docs/source/getting_started/benchmarks/cifar10_benchmark.py ("the script" below); every number that
is not says whose it is. Heads are lightly's, at the widths of twofold's small recipes, and the
network is twofold's. In three things this is kinder than the script: the cosine goes by steps, not
by epochs of which the budget pays but a few; losses are computed in float32 under bf16, too; and
weights are channels-last. Gray images stay PIL images of mode L. Saturation, hue and random
grayscale would leave them as they are, so they are switched off rather than paid for.

Prints the CPU seconds of all steps, loading and augmentation included, as JSON. `--calibrate`
trains a few steps first, so that what is done once does not count.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from lightly.loss import BarlowTwinsLoss, NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import heads
from lightly.models.utils import deactivate_requires_grad, update_momentum
from lightly.transforms import BYOLTransform, SimCLRTransform, SimSiamTransform
from lightly.transforms.byol_transform import BYOLView1Transform, BYOLView2Transform
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from twofold.networks import build_encoder

BATCH = 256  # twofold's
WARM_UP = 6  # steps before a calibration counts


class Images(Dataset):
    """Images as PIL images, each turned into views when it is asked for."""

    def __init__(self, items: np.ndarray, transform: nn.Module) -> None:
        self.items, self.transform = items, transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> list[Tensor]:
        return self.transform(Image.fromarray(self.items[index]))


def build_transform(method: str, items: np.ndarray) -> nn.Module:
    """The script's views of small images, without blur; crops keep lightly's default scales."""
    colours = items.reshape(-1, channels(items))
    shared = {
        "input_size": items.shape[2],
        "gaussian_blur": 0.0,
        "normalize": {"mean": colours.mean(0) / 255, "std": colours.std(0) / 255},
    }
    if items.ndim == 3:
        shared |= {"cj_sat": 0.0, "cj_hue": 0.0, "random_gray_scale": 0.0}
    if method == "simclr":
        return SimCLRTransform(**shared, cj_strength=0.5)  # brightness and contrast 0.4
    if method == "simsiam":
        return SimSiamTransform(**shared)
    return BYOLTransform(BYOLView1Transform(**shared), BYOLView2Transform(**shared))


def channels(items: np.ndarray) -> int:
    """Of gray images `(n, height, width)` or colour images `(n, height, width, 3)`."""
    return 1 if items.ndim == 3 else items.shape[3]


class SimCLR(nn.Module):
    """SimCLR from lightly's parts."""

    rate = 0.12  # 6e-2 * batch_size / 128

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = heads.SimCLRProjectionHead(encoder.num_features, 1024, 128)
        self.criterion = NTXentLoss()  # temperature 0.5

    def forward(self, first: Tensor, second: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pair that the loss compares."""
        return [(self.projector(self.encoder(first)), self.projector(self.encoder(second)))]


class BarlowTwins(nn.Module):
    """Barlow Twins from lightly's parts, its projector of two layers as in the script."""

    rate = 0.12  # 6e-2 * batch_size / 128

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        hidden = (encoder.num_features, 1024, nn.BatchNorm1d(1024), nn.ReLU(inplace=True))
        self.projector = heads.ProjectionHead([hidden, (1024, 1024, None, None)])
        self.criterion = BarlowTwinsLoss()  # lambda 0.005

    def forward(self, first: Tensor, second: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pair that the loss compares."""
        return [(self.projector(self.encoder(first)), self.projector(self.encoder(second)))]


class SimSiam(nn.Module):
    """SimSiam from lightly's parts, its projector of two layers as in the script."""

    rate = 0.06  # which the script does not scale, for stability

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        hidden = (encoder.num_features, 1024, nn.BatchNorm1d(1024), nn.ReLU(inplace=True))
        self.projector = heads.ProjectionHead([hidden, (1024, 512, nn.BatchNorm1d(512), None)])
        self.predictor = heads.SimSiamPredictionHead(512, 128, 512)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pairs that the loss compares."""
        here, there = (self.projector(self.encoder(view)) for view in (first, second))
        pairs = [(there.detach(), self.predictor(here)), (here.detach(), self.predictor(there))]
        return pairs


class BYOL(nn.Module):
    """BYOL from lightly's parts."""

    rate = 0.12  # 6e-2 * batch_size / 128
    momentum = 0.99

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = heads.BYOLProjectionHead(encoder.num_features, 1024, 128)
        self.predictor = heads.BYOLPredictionHead(128, 1024, 128)
        self.target_encoder = copy.deepcopy(self.encoder)
        self.target_projector = copy.deepcopy(self.projector)
        deactivate_requires_grad(self.target_encoder)
        deactivate_requires_grad(self.target_projector)
        self.criterion = NegativeCosineSimilarity()

    def forward(self, first: Tensor, second: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The pairs that the loss compares; the target moves before each, as in the script."""
        update_momentum(self.encoder, self.target_encoder, m=self.momentum)
        update_momentum(self.projector, self.target_projector, m=self.momentum)
        here, there = (
            self.predictor(self.projector(self.encoder(view))) for view in (first, second)
        )
        with torch.no_grad():
            target_here, target_there = (
                self.target_projector(self.target_encoder(view)) for view in (first, second)
            )
        return [(here, target_there), (there, target_here)]


METHODS = {"simclr": SimCLR, "byol": BYOL, "simsiam": SimSiam, "barlow_twins": BarlowTwins}


def endless(loader: DataLoader) -> Iterator[list[Tensor]]:
    """Batches of one epoch after another."""
    while True:
        yield from loader


def train(model: nn.Module, items: np.ndarray, method: str, steps: int, precision: str) -> float:
    """Trains for so many steps and returns their CPU seconds."""
    began = time.process_time()
    loader = DataLoader(
        Images(items, build_transform(method, items)),
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
    )
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=model.rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for first, second in itertools.islice(endless(loader), steps):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            pairs = model(first, second)
        losses = [model.criterion(here.float(), there.float()) for here, there in pairs]
        loss = sum(losses) / len(losses)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return time.process_time() - began


def main() -> None:
    """Trains what the arguments say, writes the encoder's weights and prints the CPU seconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--images", type=Path, required=True, help=".npy, uint8, channels last")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", choices=["bf16", "float32"], default="float32")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--out", type=Path, help="file for the encoder's weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    items = np.load(options.images)
    encoder = build_encoder("resnet-small", channels=channels(items), image_size=items.shape[2])
    model = METHODS[options.method](encoder).to(memory_format=torch.channels_last)
    if options.calibrate:
        train(model, items, options.method, WARM_UP, options.precision)
    seconds = train(model, items, options.method, options.steps, options.precision)
    if options.out:
        torch.save(encoder.state_dict(), options.out)
    epochs = options.steps / (len(items) // BATCH)
    print(json.dumps({"seconds": seconds, "epochs": epochs, "lightly": version("lightly")}))


if __name__ == "__main__":
    main()
