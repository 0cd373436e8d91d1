"""A trained encoder as other libraries read it: torchvision, timm, ONNX, torch.export."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
