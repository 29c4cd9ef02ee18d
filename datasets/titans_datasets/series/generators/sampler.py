"""An endless sequence of generated series that can be stopped and resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from titans_datasets.series.generators.mixture import GeneratedSeries, Mixture, Seed, checked_seed, concatenated


class Sampler:
    """Takes series from the sequence of a seed, one batch after the other.

    Batches of any sizes give the same series: two of 3 and 5 are one of 8. The state is the position; a sampler with
    the state of another goes on with the same series, to the bit.

    Args:
        length: steps of each series; seed, families, augment: as in `generate`.

    Example:
        >>> sampler = Sampler(96, seed=0)
        >>> _ = sampler.take(5)
        >>> other = Sampler(96, seed=0)
        >>> other.load_state_dict(sampler.state_dict())
        >>> bool((other.take(2).scale == sampler.take(2).scale).all())
        True
    """

    def __init__(
        self, length: int, *, seed: Seed = 0, families: tuple[str, ...] | None = None, augment: bool = True
    ) -> None:
        self.mixture = Mixture(length, families, augment)
        self.seed = checked_seed(seed)
        self.position = 0
        self._cached: tuple[int, GeneratedSeries] | None = None

    def take(self, count: int) -> GeneratedSeries:
        """The next `count` series.

        Raises:
            ValueError: for a count below 1.
        """
        if count < 1:
            raise ValueError(f"count must be 1 or more series, got {count}")
        parts, stop, size = [], self.position + count, self.mixture.block_size
        while self.position < stop:
            index, inner = divmod(self.position, size)
            end = min(stop - index * size, size)
            parts.append(self._block(index).part(slice(inner, end)))
            self.position = index * size + end
        return concatenated(parts)

    def state_dict(self) -> dict[str, Any]:
        """Seed, position, and what the sequence is made of."""
        families = self.mixture.families
        return {
            "seed": list(self.seed),
            "position": self.position,
            "length": self.mixture.length,
            "families": None if families is None else list(families),
            "augment": self.mixture.augment,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where another sampler was: seed and position are taken over.

        Raises:
            ValueError: where length, families or augment differ, for the series would be others.
        """
        own = self.state_dict()
        for name in ("length", "families", "augment"):
            if state[name] != own[name]:
                raise ValueError(f"the state has {name}={state[name]!r}, this sampler {own[name]!r}: make one alike")
        self.seed, self.position = checked_seed(tuple(state["seed"])), int(state["position"])
        self._cached = None

    def _block(self, index: int) -> GeneratedSeries:
        if self._cached is None or self._cached[0] != index:
            self._cached = (index, self.mixture.block(self.seed, index))
        return self._cached[1]
