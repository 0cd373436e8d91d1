from .augment import Views as Views
from .comparison import Comparison as Comparison
from .comparison import compare as compare
from .config import Config as Config
from .domains import Data as Data
from .domains import Source as Source
from .domains.image import open_data as open_data
from .encoder import Encoder as Encoder
from .encoder import load as load
from .errors import TwofoldError as TwofoldError
from .method import Method as Method
from .networks import ENCODERS as ENCODERS
from .networks import build_encoder as build_encoder
from .objectives import Batch as Batch
from .objectives import Encoded as Encoded
from .objectives import Objective as Objective
from .objectives import SimCLR as SimCLR
from .optim import LARS as LARS
from .optim import Optimizer as Optimizer
from .preprocess import Preprocess as Preprocess
from .recipes import RECIPES as RECIPES
from .recipes import Recipe as Recipe
from .run import Run as Run
from .run import pretrain as pretrain
from .run import resume as resume

__version__: str
