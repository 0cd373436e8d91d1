"""Embeddings of any number of items: encoded in shards, written to a file, read back."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
