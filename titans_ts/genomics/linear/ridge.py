"""Ridge regressions on counted features: the linear part of a regressor, and a baseline of its report.

Squared errors have one linear system, solved by conjugate gradients; counts and Huber's loss are descended.

Shapes: n sequences, F features, K targets.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import LinearOperator, cg

from titans_ts.genomics.linear.features import Features
from titans_ts.genomics.linear.losses import FloatArray, Targets, losses, value_losses
from titans_ts.genomics.linear.model import LinearModel, occurring

ITERATIONS, TOLERANCE = 200, 1e-5


def fit_ridge(
    features: Features,
    x: csr_matrix | FloatArray,
    targets: Targets,
    inverse_penalty: float,
    start: LinearModel | None = None,
) -> LinearModel:
    """Minimise the loss of the targets with a quadratic penalty on the weights; the bias is free.

    Args:
        features: kept in the model.
        x: (n, F) features of the sequences, or other coordinates of theirs.
        targets: (n, K) standardised targets; their task is the loss.
        inverse_penalty: in units of one sequence.
        start: a model to start from.
    """
    seen, small = occurring(x)
    first = np.zeros((small.shape[1], targets.outputs))
    bias = np.zeros(targets.outputs)
    if start is not None:
        first, bias = start.weight[seen].astype(np.float64), start.bias.astype(np.float64)
    solve = _solved if targets.task == "mse" else _descended
    found, bias = solve(small, targets, inverse_penalty, first, bias)
    weight = np.zeros((x.shape[1], targets.outputs), dtype=np.float32)
    weight[seen] = found
    return LinearModel(features, weight, bias.astype(np.float32), False, inverse_penalty)


def _solved(
    x: csr_matrix | FloatArray, targets: Targets, inverse_penalty: float, first: FloatArray, bias: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weights (F, K) and bias (K,) of the least squared error: (XᵀSX + λ) w = XᵀSy with centred X and y."""
    total = max(float(targets.weight.sum()), 1e-12)
    share, penalty = targets.weight / total, 1.0 / (inverse_penalty * total)
    y = np.asarray(targets.labels, dtype=np.float64)
    centre, mean = np.asarray(x.T @ share), share @ y

    def product(w: FloatArray) -> FloatArray:
        """The matrix of the system times (F,)."""
        flat = w.ravel()
        back = x.T @ (share * np.asarray(x @ flat.astype(x.dtype))).astype(np.float32)
        return np.asarray(back - centre * float(centre @ flat) + penalty * flat, dtype=np.float64)

    system = LinearOperator((x.shape[1], x.shape[1]), matvec=product, dtype=np.float64)
    weight = np.empty_like(first)
    for k in range(y.shape[1]):
        right = np.asarray(x.T @ (share * (y[:, k] - mean[k])), dtype=np.float64)
        weight[:, k], _ = cg(system, right, x0=first[:, k], rtol=TOLERANCE, maxiter=ITERATIONS)
    return weight, mean - centre @ weight


def _descended(
    x: csr_matrix | FloatArray, targets: Targets, inverse_penalty: float, first: FloatArray, bias: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Weights (F, K) and bias (K,) of any loss, by L-BFGS."""
    # Imported here: it takes .3 s, and models that are only loaded do without it.
    from scipy.optimize import minimize

    total = max(float(targets.weight.sum()), 1e-12)
    share, penalty = targets.weight / total, 1.0 / (inverse_penalty * total)
    size, columns = first.shape

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        """Penalised loss and its gradient."""
        w, b = flat[: size * columns].reshape(size, columns), flat[size * columns :]
        outputs = np.asarray(x @ w.astype(x.dtype), dtype=np.float64) + b
        loss = float((share * losses(outputs, targets)).sum())
        error = value_losses(outputs, targets)[1] * share[:, None] / columns
        slope = np.asarray(x.T @ error.astype(x.dtype), dtype=np.float64) + penalty * w
        return loss + 0.5 * penalty * float((w * w).sum()), np.concatenate([slope.ravel(), error.sum(0)])

    start = np.concatenate([first.ravel(), bias])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS, "ftol": 1e-8}).x
    return found[: size * columns].reshape(size, columns), found[size * columns :]
