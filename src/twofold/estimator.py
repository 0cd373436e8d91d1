"""Self-supervised pretraining as a scikit-learn transformer."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from twofold.domains.open import open_data
from twofold.encoder import Encoder
from twofold.errors import TwofoldError
from twofold.folder import ENCODER
from twofold.hardware import detect
from twofold.recipes import Recipe, recipe_by_name
from twofold.run import Run, pretrain

_HIGHEST_SEED = 2**31 - 1


class SelfSupervisedEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learns an encoder from images without labels, and turns images into its embeddings.

    It goes wherever a scikit-learn transformer goes: into a `Pipeline` before a classifier, a
    `GridSearchCV` over its parameters, `joblib.dump`.

    Args:
        recipe: A name from `RECIPES`, or a `Recipe`.
        epochs: Times each image is seen; the recipe's if None.
        batch_size: Images a step; the recipe's if None.
        encoder: Name of an encoder, or a network with `num_features`, of which a copy is trained;
            the recipe's if None.
        image_shape: `(channels, height, width)` or `(height, width)` of the images that the rows
            of a flat `X` are; one of them may be -1, as for `numpy.reshape`. If None, a flat row
            is a square image of one channel.
        route: One of the encoder's routes, or `all`; as of `Encoder.embed`.
        layer: `features`, or a layer of the projector such as `projector.1`; as of
            `Encoder.embed`.
        random_state: Seeds all there is to draw; an integer gives the same encoder each time.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        out: Folder to keep the run in, with its checkpoints and metrics; none is kept if None.
        verbose: Whether to show the training on standard error.
        options: Further options of `twofold.pretrain`, by name; with the `domain` of an `X` that
            holds no images.

    Attributes:
        encoder_: The trained `Encoder`.
        run_: The `Run` in `out`, or None if none is kept.
        image_shape_: Shape of an image.
        n_features_in_: How many numbers an image has.
        feature_names_in_: Names of the columns, if `X` was a table that has some.

    Example:
        >>> from sklearn.datasets import load_digits
        >>> images, _ = load_digits(return_X_y=True)  # rows of 64: images of 8 x 8
        >>> ssl = SelfSupervisedEncoder(
        ...     "simclr", epochs=1, encoder="resnet-small", options={"width": 0.25}
        ... )
        >>> ssl.fit_transform(images[:300]).shape
        (300, 64)
    """

    def __init__(
        self,
        recipe: str | Recipe = "simclr",
        *,
        epochs: int | None = None,
        batch_size: int | None = None,
        encoder: str | nn.Module | None = None,
        image_shape: tuple[int, ...] | None = None,
        route: str = "all",
        layer: str = "features",
        random_state: int | np.random.RandomState | None = 0,
        device: str = "auto",
        out: str | Path | None = None,
        verbose: bool = False,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.recipe = recipe
        self.epochs = epochs
        self.batch_size = batch_size
        self.encoder = encoder
        self.image_shape = image_shape
        self.route = route
        self.layer = layer
        self.random_state = random_state
        self.device = device
        self.out = out
        self.verbose = verbose
        self.options = options

    def fit(self, X: Any, y: Any = None) -> SelfSupervisedEncoder:  # noqa: N803
        """Trains the encoder on all of `X`.

        Args:
            X: Images `(n, channels, height, width)`, `(n, height, width)`, or flat as `image_shape`
                says, in any range.
            y: Labels `(n,)`; read only by recipes that learn from labels.

        Raises:
            TwofoldError: If `X` are no images, or a parameter is wrong.
        """
        images = self._images(X, fitting=True)
        self.image_shape_ = images.shape[1:]
        options = dict(self.options or {})
        domain = options.pop("domain", "image")
        recipe = self.recipe
        recipe = recipe_by_name(recipe, domain) if isinstance(recipe, str) else recipe
        learns = any(objective.uses_labels for objective in recipe.objectives.values())
        labels = np.asarray(y) if learns and y is not None else None
        data = open_data(
            images, domain=recipe.domain, labels=labels, test=images, test_labels=labels
        )
        given = {"epochs": self.epochs, "batch_size": self.batch_size}
        with tempfile.TemporaryDirectory() as temporary:
            run = pretrain(
                recipe,
                data=data,
                out=self.out or Path(temporary) / "run",
                encoder=copy.deepcopy(self.encoder),
                quiet=not self.verbose,
                **{
                    **options,
                    **{name: value for name, value in given.items() if value is not None},
                    "seed": self._seed(),
                    "device": self.device,
                },
            )
            if not (run.folder / ENCODER).exists():
                raise KeyboardInterrupt  # which let the last step end
            self.encoder_: Encoder = run.encoder()
        self.run_ = Run(run.folder) if self.out else None
        return self

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Embeddings `(n, dim)` of images in the range and type of those it was fitted to.

        Raises:
            TwofoldError: If the images have another shape or type.
        """
        check_is_fitted(self, "encoder_")
        images = self._images(X, fitting=False)
        device = detect(device=self.device).device
        return self.encoder_.embed(images, route=self.route, layer=self.layer, device=device)

    @property
    def _n_features_out(self) -> int:
        """How many columns `transform` returns; scikit-learn names them."""
        return self.encoder_.reading(route=self.route, layer=self.layer).num_features

    def _images(self, X: Any, *, fitting: bool) -> np.ndarray:  # noqa: N803
        """`X` as images; its features are all the numbers of one."""
        shape: tuple[int, ...] | None = None
        rows = X if hasattr(X, "ndim") else np.asarray(X)  # a table of pandas keeps its names
        if rows.ndim > 2:
            rows = np.asarray(rows)
            shape = rows.shape[1:] if rows.ndim > 3 else (1, *rows.shape[1:])
            rows = rows.reshape(len(rows), math.prod(shape))
        least = 2 if fitting else 1
        rows = validate_data(self, rows, reset=fitting, dtype="numeric", ensure_min_samples=least)
        expected = self._shape_of(rows.shape[1], shape) if fitting else self.image_shape_
        if shape not in (None, expected):
            raise TwofoldError(f"X holds images of shape {shape}; they must be {expected}")
        images: np.ndarray = rows.reshape(-1, *expected)
        return images

    def _shape_of(self, features: int, found: tuple[int, ...] | None) -> tuple[int, ...]:
        """Shape of an image of so many numbers: the parameter's, that found, or a square."""
        given = self.image_shape or found
        if given is None:
            side = math.isqrt(features)
            given = (1, side, side)
        try:
            shape = np.empty(features, dtype=bool).reshape(given).shape
        except (ValueError, TypeError):
            finding = f"image_shape is {given}" if self.image_shape else "that is no square image"
            raise TwofoldError(
                f"X has {features} features a row, but {finding}; say image_shape=(channels, "
                "height, width) of the images that its rows are"
            ) from None
        return (1, *shape) if len(shape) == 2 else shape

    def _seed(self) -> int:
        """The seed that an integer is, or that a generator draws, as scikit-learn has it."""
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(_HIGHEST_SEED))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.random_state is None
        return tags
