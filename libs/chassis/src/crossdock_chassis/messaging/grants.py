"""What the Kafka user of a service must be allowed, for clusters with access control lists."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """An operation on a topic or a group, or, if `prefixed`, on all whose name begins so.

    In Kafka, Read and Write include Describe. A user that may write a topic may also write with idempotence.
    """

    resource: Literal["topic", "group"]
    name: str
    operation: Literal["Read", "Write", "Describe"]
    prefixed: bool = False
