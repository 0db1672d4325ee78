"""The twin: an ordinary implementation to compare with. FastAPI, an ORM session per request, one message at a time.

Two services have a database each. The order service stores and commits an order, then publishes it. Inventory consumes
one message, locks the stock of its lines, reserves it, commits, publishes, and commits the offset. The order service
then confirms in the same way. The tuning is usual for such services: uvloop, a connection pool, `acks=all`, twelve
partitions, and one query that locks all lines of an order. The twin has no outbox, no inbox, no idempotency keys, no
ledger, no stock events, no second location and no backorders.
"""
