from .build import build_optimizer as build_optimizer
from .build import layer_shares as layer_shares
from .build import parameter_groups as parameter_groups
from .build import set_learning_rate as set_learning_rate
from .lars import LARS as LARS
from .settings import Optimizer as Optimizer
