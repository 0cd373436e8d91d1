"""Jets of two classes from Pythia 8 and FastJet, seen by a toy detector."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
