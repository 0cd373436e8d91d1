from . import image as image
from .source import Data as Data
from .source import Source as Source
from .source import split as split
