from .file import simulate_jets as simulate_jets
from .observed import summary as summary
from .observed import write_figure as write_figure
