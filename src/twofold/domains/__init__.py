"""Where the items come from: one package for each kind of data, and what all of them share."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
