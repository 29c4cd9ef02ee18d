"""What a long computation is doing, as records of Python's logging; who wants to show it adds a handler to `PROGRESS`.

Phases and checks have the level INFO, single steps DEBUG. A message names what is done, in present participles:
"fitting the linear part", "training, step 120 of 300, held-out loss .151".

Example:
    >>> import logging
    >>> from titans_ts.support.progress import PROGRESS
    >>> PROGRESS.name, PROGRESS.isEnabledFor(logging.INFO)
    ('titans_ts.progress', False)
"""

from __future__ import annotations

import logging

PROGRESS = logging.getLogger("titans_ts.progress")
