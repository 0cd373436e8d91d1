"""Data made by simulation, where none can be downloaded: seeded, and all of it or nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
