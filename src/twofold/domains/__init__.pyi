from . import image as image
from .names import DOMAINS as DOMAINS
from .open import open_data as open_data
from .source import Data as Data
from .source import Source as Source
from .source import split as split
