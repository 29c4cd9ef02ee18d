"""Forecasts from reads of exact linear memories: periods, memories, drafts, running errors, the network over them.

With states of constant size they keep up with series that go on: `streaming`.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
