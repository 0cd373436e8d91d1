"""What frozen features are worth: probes with baselines and intervals, and health in words."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
