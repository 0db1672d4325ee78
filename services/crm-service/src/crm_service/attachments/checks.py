"""Invariants of attachments: each one that is shown has all of its bytes, and no chunk is left over."""

from typing import Final

from crossdock_chassis import Check

NOT_WHOLE: Final = Check(
    4,
    "lost",
    "attachments that are not whole",
    "SELECT format('%s of case %s has %s of %s bytes', id, case_id, coalesce(found.bytes, 0), size) FROM attachments "
    "LEFT JOIN LATERAL ("
    "    SELECT sum(octet_length(content)) AS bytes FROM attachment_chunks WHERE attachment_id = attachments.id"
    ") AS found ON true WHERE stored_at IS NOT NULL AND coalesce(found.bytes, 0) <> size UNION ALL "
    "SELECT format('%s chunks belong to no attachment', count(*)) FROM attachment_chunks "
    "WHERE NOT EXISTS (SELECT FROM attachments WHERE id = attachment_id) HAVING count(*) > 0",
)
CHECKS: Final = (NOT_WHOLE,)
