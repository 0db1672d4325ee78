"""The ordinary way to build the same, to compare with: FastAPI, an ORM session per request, one message at a time.

Two services with a database each. An order is stored and committed, then published; inventory takes one message, locks
and lowers the stock of its lines, commits, publishes and commits the offset; the order service then confirms likewise.
Written as such services usually are and tuned where that is usual: uvloop, a connection pool, `acks=all`, twelve
partitions, all lines of an order locked by one query. What Crossdock does beyond it (outbox, inbox, idempotency keys,
ledger, stock events, several locations, backorders) it does not do.
"""
