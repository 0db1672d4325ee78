"""What all tables share."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ARRAY, TIMESTAMP, BigInteger, Double, Numeric, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[type, Any]] = {
        str: Text,
        int: BigInteger,
        float: Double,
        datetime: TIMESTAMP(timezone=True),
        Decimal: Numeric,
        list[float]: ARRAY(Double),
        list[UUID]: ARRAY(Uuid),
        list[str]: ARRAY(Text),
        dict[str, Any]: JSONB,
    }
