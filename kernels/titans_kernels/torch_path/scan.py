"""Sequences whose length is a symbol, as `torch.export` with a dynamic length has them: one `scan` over equal parts.

A Python loop over the parts would fix their number, so the sequence is padded to whole parts and `scan` walks over
them. Eager execution and torch.compile never come here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

SPARE: Final = 2
"""Parts that may be padding alone. With one fewer there could be a single part, which torch.export makes a case of its
own: its program would not hold for every length."""


def is_symbolic(length: int) -> bool:
    """Whether a length is known only when the exported program runs."""
    return isinstance(length, torch.SymInt)


class Parts(NamedTuple):
    """How T tokens are cut into parts of `size`, the first `before` places of the first part taken by earlier ones."""

    tokens: int
    size: int
    before: int = 0

    @property
    def number(self) -> int:
        """N, of which the last one or two hold no token."""
        return self.tokens // self.size + SPARE

    def _places(self, device: torch.device) -> Tensor:
        """(N, size), each place's token, out of range for padding."""
        first = torch.arange(self.number, device=device) * self.size - self.before
        return first[:, None] + torch.arange(self.size, device=device)

    # Indices throughout: of pads, slices and views torch.export cannot prove that their sizes fit for every T.

    def cut(self, x: Tensor) -> Tensor:
        """(B, T, …) → (N, B, size, …); padding repeats some token."""
        return x[:, self._places(x.device).clamp(0, self.tokens - 1)].transpose(0, 1)

    def joined(self, x: Tensor) -> Tensor:
        """(N, B, size, …) → (B, T, …)."""
        place = torch.arange(self.tokens, device=x.device) + self.before
        return x[place // self.size, :, place % self.size].transpose(0, 1)

    def mask(self, given: Tensor | None, batch: int, device: torch.device) -> Tensor:
        """(N, B, size) bool, False for padding and for masked tokens (`given` (B, T))."""
        places = self._places(device)
        real = ((places >= 0) & (places < self.tokens))[:, None].expand(-1, batch, -1)
        return real if given is None else real & self.cut(given)

    def opens(self, device: torch.device, count: int = 1) -> Tensor:
        """(N, count) bool, for each of `count` equal spans of a part whether it begins with a token of the sequence
        or with the one after it; a span begun earlier does not.

        The last of them is the span that the token after the sequence belongs to.
        """
        first = torch.arange(self.number, device=device) * self.size - self.before
        first = first[:, None] + torch.arange(count, device=device) * (self.size // count)
        return (first >= 0) & (first <= self.tokens)


Step = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], Any]]


def scan(step: Step, carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Any]:
    """A loop over the leading axis of every x: step(carry, one of each x) → (carry, y); the last carry, all y stacked.

    The carry holds no bool tensor: torch 2.13 cannot differentiate such a scan.
    """
    from torch._higher_order_ops.scan import scan as torch_scan

    def apart(carry: list[Tensor], xs: list[Tensor]) -> tuple[list[Tensor], Any]:
        after, y = step(carry, xs)
        return _apart(after), y

    end: tuple[list[Tensor], Any] = torch_scan(apart, _apart(carry), xs)
    return end


def _apart(tensors: list[Tensor]) -> list[Tensor]:
    """In memory of their own and laid out alike, as `scan` wants what it carries."""
    return [x.clone(memory_format=torch.contiguous_format) for x in tensors]
