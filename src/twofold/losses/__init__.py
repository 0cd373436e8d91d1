"""Losses: pure functions of embeddings `(batch, dim)`; lower is better."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
