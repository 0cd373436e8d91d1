"""Grids over any fields and seeds: trained, judged on held-out items, in one table and figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
