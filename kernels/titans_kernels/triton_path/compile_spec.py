"""Variant: a kernel in one configuration, for the ahead-of-time check; `variants()` of a module lists all it uses."""

from __future__ import annotations

from typing import Any, NamedTuple


class Variant(NamedTuple):
    """One kernel in one configuration.

    Attributes:
        label: op/kernel/configuration, for a report.
        kernel: the `triton.jit` function.
        signature: argument -> type in Triton's spelling ("*fp32", "i32", "constexpr"), in the kernel's order.
        constants: the values of the "constexpr" arguments.
        options: num_warps and num_stages.
    """

    label: str
    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    options: dict[str, int]
