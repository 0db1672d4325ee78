"""Everything that computes forecasts. It runs in a child of the runner: `api` and `worker` never import it."""

import logging

logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)  # its import would log that an optional package is missing
