"""Generated series: a small frame for tests, ten families, their mixture for pretraining, panels of related series."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
