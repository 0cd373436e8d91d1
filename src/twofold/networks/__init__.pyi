from .build import build_encoder as build_encoder
from .build import check_reads as check_reads
from .memory import Memory as Memory
from .mlp import mlp as mlp
from .mlp import num_features as num_features
from .names import ENCODERS as ENCODERS
from .names import check_encoder as check_encoder
from .resnet import ResNet as ResNet
