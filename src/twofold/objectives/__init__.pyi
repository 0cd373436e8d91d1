from .objective import Batch as Batch
from .objective import Encoded as Encoded
from .objective import Objective as Objective
from .simclr import SimCLR as SimCLR
