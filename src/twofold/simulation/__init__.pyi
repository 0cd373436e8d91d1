from .emoji import simulate_emoji as simulate_emoji
from .jets import simulate_jets as simulate_jets
from .trajectories import simulate_trajectories as simulate_trajectories
