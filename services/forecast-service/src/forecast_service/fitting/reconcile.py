"""Reconcile forecasts: change those of items and sums as little as possible until they agree."""

import warnings
from math import sqrt
from typing import Final

import numpy as np
from scipy import sparse

from forecast_service.fitting.structure import Coherent, Structure

LEAST: Final = 0.01
"""The smallest spread, as a share of the mean of all, so that no forecast counts as certain."""


def reconcile(structure: Structure) -> Coherent:
    """Return the non-negative MinT reconciliation with the variances of the forecasts on the diagonal.

    Wickramasuriya, Athanasopoulos and Hyndman (2019); Wickramasuriya, Turlach and Hyndman (2020).
    """
    from hierarchicalforecast.methods import MinTraceSparse  # noqa: PLC0415  (seconds, and not on every platform)

    items, nodes = len(structure.item_means), len(structure.node_means)
    rows = [node for above in structure.above for node in above]
    columns = [item for item, above in enumerate(structure.above) for _ in above]
    sums = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(nodes, items))
    summing = sparse.vstack([sums, sparse.identity(items)]).tocsr()
    means = np.vstack([np.reshape(structure.node_means, (nodes, -1)), np.asarray(structure.item_means)])
    spreads = np.array([*structure.node_spreads, *structure.item_spreads])
    spreads = np.maximum(spreads / (spreads.mean() or 1.0), LEAST)
    size = means.max() or 1.0  # the solver works best with numbers near one
    # The library takes variances from residuals: two of them, with the variance that the backtests have found.
    residuals = np.outer(spreads / sqrt(2), [1.0, -1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = MinTraceSparse("wls_var", nonnegative=True).fit(
            summing, means / size, y_insample=residuals, y_hat_insample=np.zeros_like(residuals)
        )
    return Coherent((np.asarray(fitted.y_hat)[nodes:] * size).tolist())
