from .contrastive import nt_xent as nt_xent
from .contrastive import nt_xent_bounds as nt_xent_bounds
