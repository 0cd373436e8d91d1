from .augmentations import TRAJECTORY as TRAJECTORY
from .observed import observables as observables
from .open import open_data as open_data
from .rendering import render as render
from .scale import measure as measure
