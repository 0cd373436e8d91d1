"""Orbits of mechanical systems whose conserved quantities are known, as vectors or as pictures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
