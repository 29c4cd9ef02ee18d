"""DNA: from files and strings to batches of numbers. Names are imported when they are first used.

The leakage check is `titans_datasets.dna.leakage`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
