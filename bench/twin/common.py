"""Settings, database and Kafka clients of both services of the twin."""

import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

PLACED = "twin.order-placed"
RESERVED = "twin.stock-reserved"
CONFIRMED = "twin.order-confirmed"
TOPICS = (PLACED, RESERVED, CONFIRMED)
PARTITIONS = 12


def setting(name: str) -> str:
    return os.environ[f"CROSSDOCK_{name}"]


def sessions() -> tuple[AsyncEngine, async_sessionmaker[AsyncSession]]:
    url = setting("POSTGRES").replace("postgresql://", "postgresql+asyncpg://", 1)
    engine = create_async_engine(url, pool_size=20, max_overflow=0)
    return engine, async_sessionmaker(engine, expire_on_commit=False)


async def producer() -> AIOKafkaProducer:
    started = AIOKafkaProducer(
        bootstrap_servers=setting("KAFKA"),
        acks="all",
        enable_idempotence=True,
        value_serializer=lambda value: json.dumps(value).encode(),
        key_serializer=str.encode,
    )
    await started.start()
    return started


async def consume(topic: str, group: str, handle: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Handle one message at a time, and commit its offset afterwards."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=setting("KAFKA"),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        value_deserializer=json.loads,
    )
    await consumer.start()
    try:
        async for message in consumer:
            await handle(message.value)
            await consumer.commit()
    finally:
        await consumer.stop()
