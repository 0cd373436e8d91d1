from .emoji import simulate_emoji as simulate_emoji
from .jets import simulate_jets as simulate_jets
from .sounds import simulate_notes as simulate_notes
from .sounds import simulate_speech as simulate_speech
from .trajectories import simulate_trajectories as simulate_trajectories
