"""Repairs for Triton's CPU interpreter, for tests only: to be imported before the first kernel runs.

Seen with Triton 3.6.0 and 3.7.1: tl.dot multiplies the raw 16 bits of bfloat16 operands; float32 -> bfloat16 truncates
instead of rounding to nearest even; any other arithmetic on a bfloat16 tensor works on its raw bits (refused here: a
kernel upcasts after its loads); 3.6.0 with numpy >= 2.4 cannot take an int out of a one-element array. 3.9.0 refuses
the mask of a load or store where it was one scalar: it spreads it as int32.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import triton
import triton.language as tl
from triton.runtime import interpreter

assert os.environ.get("TRITON_INTERPRET") == "1"

_Builder = interpreter.InterpreterBuilder
_Handle = interpreter.TensorHandle
_cast, _dot = _Builder.cast_impl, _Builder.create_dot


def _from_bits(x: Any) -> Any:
    return (x.astype(np.uint32) << 16).view(np.float32)


def _to_bits(x: Any) -> Any:
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounding = ((bits >> 16) & 1) + np.uint32(0x7FFF)
    return np.where(np.isnan(x), np.uint32(0x7FC0), (bits + rounding) >> 16).astype(np.uint16)


def _is_bfloat16(x: Any) -> bool:
    return bool(x.dtype.scalar == tl.bfloat16)


def _cast_impl(self: Any, source: Any, target: Any) -> Any:
    if _is_bfloat16(source) and target.scalar != tl.bfloat16:
        wide = _Handle(_from_bits(source.data), tl.float32)
        return wide if target.scalar == tl.float32 else _cast(self, wide, target)
    if target.scalar == tl.bfloat16 and not _is_bfloat16(source):
        return _Handle(_to_bits(source.data.astype(np.float32)), tl.bfloat16)
    return _cast(self, source, target)


def _create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
    a, b = (_Handle(_from_bits(x.data), tl.float32) if _is_bfloat16(x) else x for x in (a, b))
    return _dot(self, a, b, *rest)


def _without_bfloat16(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: Any, *args: Any) -> Any:
        if any(isinstance(a, _Handle) and _is_bfloat16(a) for a in args):
            raise TypeError(f"{name} on a bfloat16 tensor works on raw bits in the interpreter: .to(tl.float32) first")
        return function(self, *args)

    return guarded


def _with_boolean_mask(function: Callable[..., Any], place: int) -> Callable[..., Any]:
    def repaired(self: Any, *args: Any) -> Any:
        mask = args[place]
        if mask is not None and mask.data.dtype != np.bool_:
            args = (*args[:place], _Handle(mask.data != 0, tl.int1), *args[place + 1 :])
        return function(self, *args)

    return repaired


def _guard_reductions() -> None:
    apply = interpreter.ReduceScanOpInterface.apply

    def guarded(self: Any, values: Any) -> Any:
        if any(_is_bfloat16(t) for t in (values if isinstance(values, tuple) else (values,))):
            raise TypeError("a bfloat16 reduction works on raw bits in the interpreter: .to(tl.float32) first")
        return apply(self, values)

    interpreter.ReduceScanOpInterface.apply = guarded


def _repair_indices() -> None:
    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, *scope: Any) -> Any:
        result = patch(tensor, *scope)
        tensor.__index__ = lambda self: int(np.asarray(self.handle.data).reshape(()))
        tensor.__int__ = tensor.__index__
        return result

    interpreter._patch_lang_tensor = patched


_Builder.cast_impl, _Builder.create_dot = _cast_impl, _create_dot
_Builder.create_fp_to_fp = lambda self, source, target, mode: _cast_impl(self, source, target)
_Builder.binary_op = _without_bfloat16("arithmetic", _Builder.binary_op)
_Builder.unary_op = _without_bfloat16("arithmetic", _Builder.unary_op)
_Builder.create_masked_load = _with_boolean_mask(_Builder.create_masked_load, 1)
_Builder.create_masked_store = _with_boolean_mask(_Builder.create_masked_store, 2)
_guard_reductions()
if tuple(map(int, triton.__version__.split(".")[:2])) < (3, 7):
    _repair_indices()
