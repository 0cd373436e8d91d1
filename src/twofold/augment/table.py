"""Every image augmentation by name, and the words that prescribe what becomes of it.

Read by the command line, so importing this module loads neither torch nor NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping

from twofold.augment.augmentation import Augmentation
from twofold.augment.spatial import (
    Affine,
    Flip,
    ResizedCrop,
    Rotate,
    RotateFree,
    VerticalFlip,
)
from twofold.augment.textural import Blur, Cutout, MotionBlur, Noise, Sobel
from twofold.augment.tonal import (
    Brightness,
    Contrast,
    Equalize,
    Grayscale,
    Hue,
    Saturation,
    Solarize,
)
from twofold.errors import TwofoldError, unknown

WORDS = ("invariant", "blind", "sensitive", "both", "off")
SELECTIONS = ("each", "subset")
LEAST_SIDE = 8  # pixels; smaller views show next to nothing

IMAGE: dict[str, Augmentation] = {
    "crop": ResizedCrop(),
    "flip": Flip(),
    "vertical_flip": VerticalFlip(),
    "rotate": Rotate(),
    "rotate_free": RotateFree(),
    "affine": Affine(),
    "brightness": Brightness(),
    "contrast": Contrast(),
    "saturation": Saturation(),
    "hue": Hue(),
    "grayscale": Grayscale(),
    "solarize": Solarize(),
    "equalize": Equalize(),
    "blur": Blur(),
    "motion_blur": MotionBlur(),
    "noise": Noise(),
    "cutout": Cutout(),
    "sobel": Sobel(),
}


def check(augmentations: Mapping[str, Augmentation], prescription: Mapping[str, str]) -> None:
    """Refuses a prescription that names an unknown augmentation or uses an unknown word.

    Raises:
        TwofoldError: With the nearest known name.
    """
    for name, word in prescription.items():
        if name not in augmentations:
            raise unknown("augmentation", name, augmentations)
        if word not in WORDS:
            raise unknown(f"word for {name}", word, WORDS)


def check_asymmetry(
    augmentations: Mapping[str, Augmentation],
    asymmetry: Mapping[str, tuple[float, ...]],
    num_views: int,
) -> None:
    """Refuses what is not a probability for each view of a known augmentation.

    Raises:
        TwofoldError: With the augmentation's name.
    """
    for name, probabilities in asymmetry.items():
        if name not in augmentations:
            raise unknown("augmentation", name, augmentations)
        if len(probabilities) != num_views or not all(0 <= p <= 1 for p in probabilities):
            raise TwofoldError(
                f"asymmetry of {name} is {probabilities}; it must be {num_views} numbers in [0, 1],"
                " one for each view"
            )


def check_repeats(
    augmentations: Mapping[str, Augmentation],
    repeats: Mapping[str, tuple[int, ...]],
    num_views: int,
) -> None:
    """Refuses what is not views after the first, view 0, of a known augmentation.

    Raises:
        TwofoldError: With the augmentation's name.
    """
    for name, views in repeats.items():
        if name not in augmentations:
            raise unknown("augmentation", name, augmentations)
        if not all(view in range(1, num_views) for view in views):
            raise TwofoldError(
                f"repeats of {name} is {views}; it must name views in [1, {num_views}), which then "
                "repeat what view 0 draws"
            )


def check_small_views(small_views: int, small_size: float) -> None:
    """Refuses a negative number of small views, and a size that is no share of the others'.

    Raises:
        TwofoldError: With the setting's name.
    """
    if small_views < 0:
        raise TwofoldError(f"small_views is {small_views}; it must be at least 0")
    if not 0 < small_size <= 1:
        raise TwofoldError(f"small_size is {small_size}; it must be in (0, 1]")


def check_select(select: str, asymmetry: Mapping[str, tuple[float, ...]]) -> None:
    """Refuses an unknown way to select, and probabilities where a subset leaves none to use.

    Raises:
        TwofoldError: With the names of the augmentations that have them.
    """
    if select not in SELECTIONS:
        raise unknown("way to select", select, SELECTIONS)
    if select == "subset" and asymmetry:
        raise TwofoldError(
            f"asymmetry is given for {', '.join(asymmetry)}, but select='subset' applies the same "
            "in all views; leave one of them out"
        )


def small_side(size: int, small_size: float) -> int:
    """Height and width of the small views in pixels: a share of `size`, at least 8 if that is.

    Example:
        >>> small_side(28, 0.5), small_side(10, 0.5)
        (14, 8)
    """
    return max(round(small_size * size), min(size, LEAST_SIDE))


def substitutions(
    augmentations: Mapping[str, Augmentation], prescription: Mapping[str, str], channels: int
) -> tuple[str, ...]:
    """What a prescribed augmentation that needs RGB becomes on other images, a sentence each.

    Example:
        >>> substitutions(IMAGE, {"crop": "invariant", "hue": "invariant"}, channels=5)[0]
        'hue needs 3 channels and the images have 5: every channel is moved by its own offset'
        >>> substitutions(IMAGE, {"crop": "invariant", "hue": "invariant"}, channels=1)[0]
        'hue needs 3 channels and the images have 1: it is not drawn'
    """
    check(augmentations, prescription)
    sentences = []
    for name, augmentation in augmentations.items():
        suited = augmentation.for_channels(channels)
        if prescription.get(name, "off") != "off" and suited != augmentation:
            does = suited.effect if suited else "it is not drawn"
            found = f"{name} needs 3 channels and the images have {channels}"
            sentences.append(f"{found}: {does}")
    return tuple(sentences)
