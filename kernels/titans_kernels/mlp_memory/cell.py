"""One chunk of the deep memory and its derivatives, in plain torch without autograd; see `recompute.Cell`.

The equations are those of `chunked.py`, layer by layer, and their derivatives.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from titans_kernels.mlp_memory.network import EPS, Curve, activation, activation_curve, activation_value
from titans_kernels.torch_path.chunk_loop import Chunk, Fast, Weights
from titans_kernels.torch_path.layer_backward import Read, backward_, read, step, write_, written
from titans_kernels.torch_path.recompute import ChunkGradients, Gates


class Normed(NamedTuple):
    """LN(h) with what its backward needs: h, its mean and 1 / sqrt(var + eps) (..., 1), the normed value."""

    h: Tensor
    mean: Tensor
    scale: Tensor
    value: Tensor


class Keys(NamedTuple):
    """Key side: every layer's input a, the activations between, the last output normed (residual only), every layer's
    error delta, and the errors before the activation's slope."""

    inputs: list[Tensor]
    curves: list[Curve]
    normed: Normed | None
    errors: list[Tensor]
    back: list[Tensor]


class Kept(NamedTuple):
    """What a chunk leaves for its backward; `slopes` and `normed` are the query side's."""

    keys: Keys
    reads: list[Read]
    slopes: list[Tensor]
    normed: Normed | None


class MlpCell(NamedTuple):
    """The deep memory with or without residual and LN; with one layer and no residual, the linear memory."""

    residual: bool

    def token(self, k: Tensor, v: Tensor, gates: Gates, fast: Fast, in_place: bool) -> tuple[Weights, Weights]:
        """See `recompute.Cell`."""
        inputs, hidden = [k], []
        for w in fast.anchor[:-1]:
            hidden.append(torch.bmm(inputs[-1], w))
            inputs.append(activation(hidden[-1]))
        errors = [self._half_error(k, torch.bmm(inputs[-1], fast.anchor[-1]), v)]
        for w, h in zip(fast.anchor[:0:-1], reversed(hidden), strict=True):
            errors.append(torch.ops.aten.gelu_backward.default(torch.bmm(errors[-1], w.mT), h, approximate="tanh"))
        layers = zip(inputs, reversed(errors), zip(*gates, strict=True), zip(*fast[:2], strict=True), strict=True)
        new = [step(*layer, in_place) for layer in layers]
        return tuple(w for w, _ in new), tuple(s for _, s in new)

    def _half_error(self, k: Tensor, h: Tensor, v: Tensor) -> Tensor:
        """The gradient of ||M(k) - v||^2 / 2 by the last layer's output h."""
        if not self.residual:
            return h.sub_(v)
        width = h.shape[-1:]
        normed, mean, scale = torch.native_layer_norm(h, width, None, None, EPS)
        return _through_norm(normed.add_(k).sub_(v), Normed(h, mean, scale, normed))

    def look(self, q: Tensor, weights: Weights) -> Tensor:
        """See `recompute.Cell`."""
        h = torch.bmm(q, weights[0])
        for w in weights[1:]:
            h = torch.bmm(activation(h), w)
        return torch.native_layer_norm(h, h.shape[-1:], None, None, EPS)[0].add_(q) if self.residual else h

    def forward(self, chunk: Chunk, fast: Fast, keep: bool) -> tuple[Tensor, Kept]:
        """See `recompute.Cell`."""
        keys = self._key_side(chunk.k, chunk.v, fast.anchor, keep)
        z, reads, slopes = chunk.q, [], []
        for i, layer in enumerate(chunk.layers):
            out, mine = read(z, keys.inputs[i], keys.errors[i], layer.after, (fast.weights[i], fast.momentum[i]))
            reads.append(mine)
            if i + 1 < len(chunk.layers):
                curve = activation_curve(out, bend=False) if keep else None
                z = activation_value(out) if curve is None else curve.value
                slopes += [] if curve is None else [curve.slope]
        normed = _normalise(out) if self.residual else None
        y = out if normed is None else chunk.q + normed.value
        return y, Kept(keys, reads, slopes, normed)

    def move(self, chunk: Chunk, kept: Kept, fast: Fast) -> None:
        """See `recompute.Cell`."""
        for i, layer in enumerate(chunk.layers):
            write_(kept.keys.inputs[i], kept.keys.errors[i], layer.end, (fast.weights[i], fast.momentum[i]))

    def moved(self, chunk: Chunk, kept: Kept, fast: Fast) -> tuple[Weights, Weights]:
        """See `recompute.Cell`."""
        new = [
            written(kept.keys.inputs[i], kept.keys.errors[i], layer.end, (fast.weights[i], fast.momentum[i]))
            for i, layer in enumerate(chunk.layers)
        ]
        return tuple(w for w, _ in new), tuple(s for _, s in new)

    def backward(self, chunk: Chunk, fast: Fast, kept: Kept, grad: Tensor, into: Fast) -> ChunkGradients:
        """See `recompute.Cell`."""
        keys, depth = kept.keys, len(chunk.layers)
        outer = grad if kept.normed is None else _through_norm(grad, kept.normed)
        through = []
        for i in range(depth - 1, -1, -1):
            through.append(
                backward_(
                    outer,
                    kept.reads[i],
                    (keys.inputs[i], keys.errors[i]),
                    chunk.layers[i],
                    (fast.weights[i], fast.momentum[i]),
                    (into.weights[i], into.momentum[i]),
                )
            )
            if i:
                outer = through[-1].z.mul_(kept.slopes[i - 1])
        through.reverse()
        into_q = through[0].z.add_(grad) if self.residual else through[0].z
        sums = ([x.a for x in through], [x.delta for x in through])
        into_k, into_v = self._key_side_backward(chunk, fast.anchor, keys, sums, into.anchor)
        return ChunkGradients(into_q, into_k, into_v, [x.coefficients for x in through])

    def _key_side(self, k: Tensor, v: Tensor, anchor: Weights, keep: bool) -> Keys:
        inputs, curves = [k], []
        for w in anchor[:-1]:
            curves.append(activation_curve(torch.bmm(inputs[-1], w), bend=keep))
            inputs.append(curves[-1].value)
        last = torch.bmm(inputs[-1], anchor[-1])
        normed = _normalise(last) if self.residual else None
        errors, back = [last.sub_(v).mul_(2) if normed is None else _through_norm(_residual(k, v, normed), normed)], []
        for w, curve in zip(anchor[:0:-1], reversed(curves), strict=True):
            back.append(torch.bmm(errors[-1], w.mT))
            errors.append(back[-1] * curve.slope)
        return Keys(inputs, curves, normed, errors[::-1], back[::-1])

    def _key_side_backward(
        self, chunk: Chunk, anchor: Weights, keys: Keys, sums: tuple[list[Tensor], list[Tensor]], into: Weights
    ) -> tuple[Tensor, Tensor]:
        """Gradients by k and v from `sums`, those by every a and delta; what reaches the anchor is added to `into`."""
        by_input, by_error = sums
        by_hidden = []
        for i, curve in enumerate(keys.curves):
            assert curve.bend is not None
            by_hidden.append((curve.bend * keys.back[i]).mul_(by_error[i]))
            by_back = by_error[i].mul_(curve.slope)
            by_error[i + 1].baddbmm_(by_back, anchor[i + 1])
            into[i + 1].baddbmm_(by_back.mT, keys.errors[i + 1])
        into_k, outer, into_v = _error_backward(chunk, keys, by_error[-1])
        for i in range(len(anchor) - 1, -1, -1):
            into[i].baddbmm_(keys.inputs[i].mT, outer)
            by_input[i].baddbmm_(outer, anchor[i].mT)
            if i:
                outer = by_hidden[i - 1].addcmul_(by_input[i], keys.curves[i - 1].slope)
        return by_input[0] if into_k is None else by_input[0].add_(into_k), into_v


def _error_backward(chunk: Chunk, keys: Keys, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    """Gradients by k, by the last layer's output and by v from the one by its error; see `network._OutputError`."""
    normed, error = keys.normed, keys.errors[-1]
    if normed is None:
        twice = grad * 2
        return None, twice, -twice
    residual = _residual(chunk.k, chunk.v, normed)
    into_k = _through_norm(grad, normed).mul_(2)
    along, across = _mean(residual, normed.value), _mean(grad, normed.value)
    into_normed = into_k - (grad * along).addcmul_(residual, across).mul_(normed.scale)
    through_scale = normed.value * _mean(grad, error).mul_(normed.scale)
    return into_k, _through_norm(into_normed, normed).sub_(through_scale), -into_k


def _residual(k: Tensor, v: Tensor, normed: Normed) -> Tensor:
    """The gradient of the loss by M(k): 2 (k + LN - v)."""
    return (k + normed.value).sub_(v).mul_(2)


def _normalise(h: Tensor) -> Normed:
    mean = h.mean(-1, keepdim=True)
    centred = h - mean
    scale = _mean(centred, centred).add_(EPS).rsqrt_()
    return Normed(h, mean, scale, centred.mul_(scale))


def _through_norm(grad: Tensor, normed: Normed) -> Tensor:
    # torch's own kernel: half the time of the written-out form (its forward kernel is slower than the one above).
    h, mean, scale, _ = normed
    out: Tensor = torch.ops.aten.native_layer_norm_backward.default(
        grad, h, h.shape[-1:], mean, scale, None, None, (True, False, False)
    )[0]
    return out


def _mean(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vecdot(a, b).unsqueeze(-1).div_(a.shape[-1])
