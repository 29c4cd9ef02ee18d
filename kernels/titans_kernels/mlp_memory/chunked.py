"""The deep memory, chunk-parallel: any depth, no weights per token (kernels/MATH.md, section 2)."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from titans_kernels.inputs import MemoryInputs
from titans_kernels.mlp_memory.cell import MlpCell
from titans_kernels.mlp_memory.network import activation, activation_backward, output, output_error
from titans_kernels.state import MemoryState
from titans_kernels.torch_path import recompute
from titans_kernels.torch_path.chunk_loop import Chunk, Fast, Weights, walk
from titans_kernels.torch_path.layer_autograd import read_layer, write_layer
from titans_kernels.torch_path.recompute import PLAIN, Run


def mlp_memory(
    inputs: MemoryInputs,
    state: MemoryState,
    chunk_size: int,
    residual: bool,
    run: Run = PLAIN,
) -> tuple[Tensor, MemoryState]:
    """The chunk form on checked inputs; see `titans_kernels.mlp_memory`."""
    composable = partial(differentiable, chunk_size=chunk_size, residual=residual)
    if run.native:
        from titans_kernels.native import walk as compiled

        if compiled.takes(inputs, state):
            return compiled.walk(inputs, state, chunk_size, compiled.Form(residual), composable, run)
    return recompute.walk(inputs, state, chunk_size, MlpCell(residual), composable, run)


def differentiable(
    inputs: MemoryInputs, state: MemoryState, chunk_size: int, residual: bool
) -> tuple[Tensor, MemoryState]:
    """The same in operations that autograd differentiates to any order, torch.func and torch.compile know."""

    def step(chunk: Chunk, fast: Fast) -> tuple[Tensor, Weights, Weights]:
        """One chunk, see `chunk_loop.Step`."""
        activations, errors = key_side(chunk, fast.anchor, residual)
        layers = list(
            zip(activations, errors, chunk.layers, zip(fast.weights, fast.momentum, strict=True), strict=True)
        )
        new = [write_layer(*layer) for layer in layers]
        z = chunk.q
        for i, layer in enumerate(layers):
            z = read_layer(activation(z) if i else z, *layer)
        return output(chunk.q, z, residual), tuple(w for w, _ in new), tuple(s for _, s in new)

    return walk(inputs, state, chunk_size, step)


def key_side(chunk: Chunk, anchor: Weights, residual: bool) -> tuple[list[Tensor], list[Tensor]]:
    """Every layer's inputs a (G, n, in) and errors delta (G, n, out) for the keys: its gradients are a^T delta."""
    inputs, hidden = [chunk.k], [chunk.k @ anchor[0]]
    for w in anchor[1:]:
        inputs.append(activation(hidden[-1]))
        hidden.append(inputs[-1] @ w)
    errors = [output_error(chunk.k, hidden[-1], chunk.v, residual)]
    for w, h in zip(anchor[:0:-1], hidden[-2::-1], strict=True):
        errors.append(activation_backward(errors[-1] @ w.transpose(-1, -2), h))
    return inputs, errors[::-1]
