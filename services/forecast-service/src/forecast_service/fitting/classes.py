"""Classify demand by its gaps and by the spread of its sizes (Syntetos, Boylan and Croston, 2005)."""

from typing import Final

import numpy as np

from forecast_service.fitting.metrics import Array
from forecast_service.fitting.series import DemandClass

INTERVAL: Final = 1.32
VARIATION: Final = 0.49


def classify(values: Array) -> DemandClass:
    """Classify one series from its first sale on. `none` means that no day has demand.

    The average demand interval is days per day with demand. The variation is the squared coefficient of variation of
    the demand of these days. A value on the limit belongs to the rougher class.
    """
    known = values[np.isfinite(values)]
    sizes = known[known > 0]
    if not sizes.size:
        return "none"
    interval = known.size / sizes.size
    varied = bool(sizes.var() >= VARIATION * sizes.mean() ** 2)
    if interval < INTERVAL:
        return "erratic" if varied else "smooth"
    return "lumpy" if varied else "intermittent"
