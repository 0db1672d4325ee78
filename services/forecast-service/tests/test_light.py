"""API, worker and runner stay small: only the child of a runner imports libraries for numbers."""

import subprocess
import sys

HEAVY = ("numpy", "pandas", "statsforecast", "prophet", "lightgbm", "matplotlib")
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
