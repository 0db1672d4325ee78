"""The page of consumers shows a group of another system that stops reading, and that Kafka forgets."""

import re
from uuid import uuid4

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.structs import TopicPartition
from browsing import OPERATOR, Console
from harness import Harness, order
from playwright.async_api import expect

from crossdock_events import CATALOGUE

TOPIC = "crossdock.orders.v1"
NO_LAG, SOME_LAG = re.compile(r"^Behind 0$"), re.compile(r"^Behind [1-9]")


async def test_lag_of_a_group_without_members_grows(opened: Console, harness: Harness) -> None:
    group = f"a-warehouse-{uuid4().hex[:8]}"
    (item,) = await harness.items(on_hand=9)
    kafka = harness.stack.kafka
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        (topic,) = [each for each in CATALOGUE.topics() if each.name == TOPIC]
        places = [TopicPartition(TOPIC, each) for each in range(topic.partitions)]
        consumer.assign(places)
        await consumer.commit(await consumer.end_offsets(places))
    finally:
        await consumer.stop()

    await opened.sign_in(OPERATOR)
    await opened.page.goto(f"{opened.url}/consumers?kafka={group}")
    row = opened.page.get_by_role("list", name="All groups in Kafka").locator("li", has_text=group)
    await expect(row).to_contain_text("no member reads", timeout=20_000)
    await expect(row).to_contain_text("another system")
    lag = row.locator("> span").nth(3)
    await expect(lag).to_have_text(NO_LAG)
    async with harness.client() as client:
        await harness.post(client, order(f"PO-{uuid4().hex[:12]}", (item, 1)))
    await expect(lag).to_have_text(SOME_LAG, timeout=20_000)

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin._send_request(DeleteGroupsRequest([group]), await admin.find_coordinator(group))
    finally:
        await admin.close()
    await expect(row).to_contain_text("no longer known to Kafka", timeout=20_000)
    await expect(lag).to_have_text(SOME_LAG)
