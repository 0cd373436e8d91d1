"""A method at work: an encoder, the heads of its objectives, and one pass for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from twofold.networks import num_features
from twofold.objectives import Batch, Encoded, Known, Objective


class Method(nn.Module):
    """Encodes the views of a batch once and lets every objective read the features.

    Args:
        encoder: Any module with `num_features` that maps a batch of images to
            `(batch, num_features)`.
        objectives: What to learn, by name.
        encode: `joint` passes all views through the encoder as one batch, so that BatchNorm
            sees them together (SimCLR); `separate` passes them one by one (SimSiam, BYOL).
        known: What objectives may know of the training items: NCE how many there are, those that
            learn from labels how many classes.

    Example:
        >>> from twofold import build_encoder
        >>> from twofold.objectives import SimCLR
        >>> encoder = build_encoder("resnet-small", channels=1, image_size=28)
        >>> method = Method(encoder, {"contrast": SimCLR()})
        >>> sorted({name.split(".")[0] for name in method.state_dict()})
        ['encoder', 'heads']
    """

    def __init__(
        self,
        encoder: nn.Module,
        objectives: Mapping[str, Objective],
        *,
        encode: Literal["joint", "separate"] = "joint",
        known: Known | None = None,
    ) -> None:
        super().__init__()
        num_features(encoder)  # refuses what is no encoder
        self.encoder = encoder
        self.objectives = dict(objectives)
        self.encode = encode
        self.heads = nn.ModuleDict(
            {
                name: nn.ModuleDict(dict(objective.heads(encoder, known or Known())))
                for name, objective in self.objectives.items()
            }
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of each objective, by name."""
        encoded = Encoded(**vars(batch), features=self._features(batch.views))
        return {
            name: objective.loss(self.heads[name], encoded)
            for name, objective in self.objectives.items()
        }

    def fixed_rate(self) -> tuple[str, ...]:
        """Names of the modules whose learning rate stays at its peak."""
        return tuple(
            f"heads.{name}.{head}"
            for name, objective in self.objectives.items()
            for head in sorted(objective.fixed_rate())
        )

    def after_update(self, progress: float) -> None:
        """Lets each objective move what no gradient moves; `progress` runs from 0 to 1."""
        for name, objective in self.objectives.items():
            objective.after_update(self.heads[name], self.encoder, progress)

    def _features(self, views: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        same_size = len({view.shape for view in views}) == 1
        if self.encode == "joint" and same_size:
            features: Tensor = self.encoder(torch.cat(views))
            return features.chunk(len(views))
        return tuple(self.encoder(view) for view in views)
