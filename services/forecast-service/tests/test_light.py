"""API, worker and runner stay small: only the child of a runner imports libraries for numbers."""

import subprocess
import sys

HEAVY = (
    "numpy",
    "pandas",
    "statsforecast",
    "prophet",
    "lightgbm",
    "matplotlib",
    "scipy",
    "hierarchicalforecast",
    "pyarrow",
)
PROGRAM = f"""
import sys
import forecast_service.__main__, forecast_service.service
from forecast_service.service import Settings, build
build(Settings(postgres="postgresql://127.0.0.1:1/none", kafka="127.0.0.1:1", issuer="http://127.0.0.1:1")).api()
print([name for name in {HEAVY} if name in sys.modules])
"""


def test_service_imports_no_library_for_numbers() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert found.stdout == "[]\n", found.stderr


CHEAP = f"""
import sys
from datetime import date
from forecast_service.fitting.series import History, Task
from forecast_service.fitting.work import forecast
made = forecast(Task(date(2026, 3, 11), 7, [History("A", date(2026, 1, 1), [3.0, 4.0] * 34 + [3.0])], "cheap"))
print(len(made), [name for name in {HEAVY[1:]} if name in sys.modules])
"""


def test_cheap_models_wait_for_no_slow_import() -> None:
    found = subprocess.run([sys.executable, "-c", CHEAP], capture_output=True, text=True, check=False)
    assert found.stdout == "1 []\n", found.stderr
