from .names import NAMES as NAMES
from .open import open_data as open_data
from .rendering import render as render
from .scale import measure as measure
