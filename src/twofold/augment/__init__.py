"""Augmentations: drawn by a counter, recorded, then rendered a batch at a time."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
