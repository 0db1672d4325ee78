"""What all tables share."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import ARRAY, TIMESTAMP, BigInteger, Double, Text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import DeclarativeBase

ACTIVE = "status IN ('new', 'open', 'waiting', 'reopened')"
"""The condition of an active case."""
TO_ERASE = f"NOT ({ACTIVE}) AND (erased_at IS NULL OR erased_at < changed_at)"
"""The condition of a case that has ended and may have texts, mails and files."""


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
        list[Any]: JSONB,
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        list[int]: ARRAY(BigInteger),
        bytes: BYTEA,
        float: Double,
    }
