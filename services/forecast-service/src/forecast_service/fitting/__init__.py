"""Everything that computes forecasts. It runs in a child of the runner: `api` and `worker` never import it."""
