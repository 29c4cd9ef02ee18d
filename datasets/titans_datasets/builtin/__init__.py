"""Small real data sets that ship inside the package, so that examples and tests run without a network.

Each file's origin and licence are in SOURCES.md beside it. Names are imported when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
