"""Buffer: a session's state, and the observations that wait until a block of them is complete."""

from __future__ import annotations

import numpy as np

from titans_datasets.series.time.calendar_features import covariate_columns
from titans_ts.forecasting.streaming.reader import StreamReader
from titans_ts.forecasting.streaming.state import Block, Read, StreamState


class Buffer:
    """State and waiting observations; blocks end at the same steps however observations arrive.

    Only `append` changes a buffer; the other methods return what follows and leave it as it is, so that a failure half
    way leaves the session where it was.

    Args:
        reader: reads blocks with the network.
        state: after the steps that were read.

    Attributes:
        reader, state: as given.
        count: how many observations wait, fewer than a block.
    """

    def __init__(self, reader: StreamReader, state: StreamState) -> None:
        self.reader, self.state, self.count = reader, state, 0
        config, steps, items = reader.network.config, reader.block, reader.items
        # Those of the calendar are computed when steps are read.
        given = config.known_covariates - covariate_columns(reader.clock.frequency, config.calendar)
        known = np.zeros((steps, items, given), dtype=np.float32)
        past = np.zeros((steps, items, config.past_features), dtype=np.float32)
        self._space = Block(np.full((steps, items * reader.channels), np.nan), known, past)

    @property
    def steps(self) -> int:
        """Steps observed, those that wait among them."""
        return self.state.steps + self.count

    @property
    def waiting(self) -> Block:
        """The observations that have not been read."""
        return self._space.cut(0, self.count)

    def fits(self, steps: int) -> bool:
        """Whether so many observations leave the open block incomplete, so that nothing has to be read."""
        return self.count + steps < self._room(self.state)

    def append(self, block: Block) -> None:
        """Let observations wait that fit."""
        self._space.place(block, self.count)
        self.count += len(block.values)

    def take(self, block: Block) -> tuple[Buffer, list[Read]]:
        """The buffer after a block of any length, and what was read on the way."""
        rest, state, reads = Block.join([self.waiting, block]), self.state, list[Read]()
        while len(rest.values) >= (size := self._room(state)):
            state, read = self.reader.advance(state, rest.cut(0, size))
            rest = rest.cut(size)
            reads += [] if read is None else [read]
        after = Buffer(self.reader, state)
        after.append(rest)
        return after, reads

    def read_waiting(self) -> tuple[StreamState, Read | None]:
        """The state after every observation, those that complete no token among them, and what was read for it."""
        return self.reader.advance(self.state, self.waiting)

    def catch_up(self) -> tuple[Buffer, list[Read]]:
        """The buffer after reading every complete token."""
        if not self.reader.ends(self.state.steps, self.steps):
            return self, []
        state, read = self.read_waiting()
        return Buffer(self.reader, state), [] if read is None else [read]

    def window(self) -> StreamState:
        """The state with every observation in its window; the memory reads nothing."""
        return self.reader.slide(self.state, self.waiting)

    def _room(self, state: StreamState) -> int:
        """Steps up to the end of the open block."""
        return self.reader.block - state.steps % self.reader.block
