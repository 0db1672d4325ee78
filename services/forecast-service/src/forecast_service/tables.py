"""The service's own tables, one class per table. Hand-written SQL writes them; the ORM only reads, in views."""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import TIMESTAMP, BigInteger, Text
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        datetime: TIMESTAMP(timezone=True),
    }
