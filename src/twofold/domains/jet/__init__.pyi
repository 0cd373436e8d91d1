from .augmentations import JET as JET
from .open import open_data as open_data
from .rendering import render as render
from .scale import measure as measure
from .substructure import observables as observables
