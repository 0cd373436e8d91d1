from .augmentations import AUDIO as AUDIO
from .open import open_data as open_data
from .rendering import render as render
from .scale import measure as measure
