"""What a forecast is mixed from: simple and classical methods behind one interface, weights, intervals, sanity."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
