from .ceiling import rendering_ceiling as rendering_ceiling
from .conditions import Conditions as Conditions
from .file import simulate_trajectories as simulate_trajectories
from .observed import summary as summary
from .observed import write_figure as write_figure
from .systems import SYSTEMS as SYSTEMS
from .systems import follow_orbits as follow_orbits
