"""Realistic messages of each type, for the documentation, the golden files and tests.

`freeze` writes each message to `examples/<type>.<label>.json` for ever. Do not change a message after the commit of its
file; add another label instead. Together the messages are one story; each module has a part of it.
"""

from crossdock_events.examples import customers, forecasts, orders
from crossdock_events.examples.story import Example

__all__ = ["EXAMPLES", "Example"]

EXAMPLES = (*orders.EXAMPLES, *forecasts.EXAMPLES, *customers.EXAMPLES)
