"""What the child of a runner computes: forecasts of a task, or their reconciliation."""

from collections.abc import Sequence

from forecast_service.fitting import work
from forecast_service.fitting.series import Outcome, Task
from forecast_service.fitting.structure import Coherent, Structure


def answer(asked: Task | Structure) -> Sequence[Outcome | Coherent]:
    if isinstance(asked, Task):
        return work.forecast(asked)
    from forecast_service.fitting.reconcile import reconcile  # noqa: PLC0415  (libraries that forecasts do not need)

    return [reconcile(asked)]
