"""`python -m crossdock_cli …` is `crossdock …`, for containers without a path to scripts."""

from crossdock_cli.app import main

main()
