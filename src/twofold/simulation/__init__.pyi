from .jets import simulate_jets as simulate_jets
from .trajectories import simulate_trajectories as simulate_trajectories
