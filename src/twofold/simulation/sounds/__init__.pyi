from .file import simulate_notes as simulate_notes
from .file import simulate_speech as simulate_speech
from .notes import FAMILIES as FAMILIES
from .observed import summary as summary
from .observed import write_figure as write_figure
