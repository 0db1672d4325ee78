"""Read `docs/retention.md`: the rule by which each table grows."""

import re
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[1] / "docs" / "retention.md"

TABLES: Final = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname !~ '^(outbox|log)_[0-9]{8}$'
"""
"""All tables of a database. The daily partitions are part of `outbox` and `log`."""


def rules() -> dict[str, str]:
    """Return the rule of each table by its name."""
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE))
