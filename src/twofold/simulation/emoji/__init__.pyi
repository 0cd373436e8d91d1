from .file import simulate_emoji as simulate_emoji
from .observed import summary as summary
from .observed import write_figure as write_figure
from .sets import SETS as SETS
