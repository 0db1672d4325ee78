"""Work of imports that `crossdock verify` waits for."""

UNSETTLED = """
    SELECT format('%s imports of inventory-service wait or run', count(*))
    FROM job WHERE kind = 'import' AND status IN ('queued', 'running') HAVING count(*) > 0
"""
