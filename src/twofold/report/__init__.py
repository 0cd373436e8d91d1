"""What a run looks like: the HTML page of a run folder and the contact sheet of its views."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
