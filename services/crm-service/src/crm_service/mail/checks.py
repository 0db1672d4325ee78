"""Invariants of mails: each one that was filed is an entry of its case, and each answer by mail has its mail."""

from typing import Final

from crossdock_chassis import Check

FILED: Final = Check(
    4,
    "lost",
    "mails that are in no case",
    "SELECT format('%s is %s', id, state) FROM mails WHERE (state = 'filed' OR kind = 'answer') AND NOT EXISTS ("
    "    SELECT FROM case_entries WHERE case_entries.mail_id = mails.id AND case_entries.case_id = mails.case_id"
    ") UNION ALL "
    "SELECT format('the mail %s of case %s is gone', mail_id, case_id) FROM case_entries "
    "WHERE mail_id IS NOT NULL AND NOT EXISTS (SELECT FROM mails WHERE mails.id = case_entries.mail_id)",
)
UNSETTLED: Final = (
    "SELECT format('%s mails of crm-service are to be read', count(*)) FROM mails "
    "WHERE state = 'stored' HAVING count(*) > 0",
)
CHECKS: Final = (FILED,)
