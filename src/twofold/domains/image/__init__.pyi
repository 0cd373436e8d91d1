from .names import NAMES as NAMES
from .open import open_data as open_data
