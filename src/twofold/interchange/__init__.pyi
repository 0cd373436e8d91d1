from .export import Exported as Exported
from .export import export as export
from .formats import FORMATS as FORMATS
