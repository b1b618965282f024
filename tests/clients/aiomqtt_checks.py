"""aiomqtt against a broker: python aiomqtt_checks.py PORT"""
import asyncio
import sys

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT = int(sys.argv[1])
PATIENCE = 60
FIVE = aiomqtt.ProtocolVersion.V5
THREE = aiomqtt.ProtocolVersion.V311


def client(name, version, clean=True, **more):
    if version == FIVE:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if clean else 3600
        more |= dict(clean_start=clean, properties=properties)
    else:
        more |= dict(clean_session=clean)
    return aiomqtt.Client(
        "127.0.0.1", PORT, identifier=name, protocol=version, timeout=PATIENCE,
        max_inflight_messages=500, **more)


async def expect(c, payloads):
    async with asyncio.timeout(PATIENCE):
        messages = aiter(c.messages)
        for payload in payloads:
            got = await anext(messages)
            assert got.payload == payload, (got.topic, got.payload[:50], payload[:50])
        return got


async def round_trip(version, name):
    async with client(name + "-r", version) as reader, client(name + "-w", version) as writer:
        await reader.subscribe(name, 2)
        for qos in (0, 1, 2):
            await writer.publish(name, b"hello", qos, timeout=PATIENCE)
            assert (await expect(reader, [b"hello"])).qos == qos
        payload = bytes(range(256)) * 65536
        await writer.publish(name, payload, 1, timeout=PATIENCE)
        await expect(reader, [payload])


async def many(version, name):
    async with client(name + "-r", version) as reader, client(name + "-w", version) as writer:
        await reader.subscribe(name, 1)
        for at in range(0, 10000, 500):
            payloads = [b"%d" % n for n in range(at, at + 500)]
            async with asyncio.TaskGroup() as group:
                for payload in payloads:
                    group.create_task(writer.publish(name, payload, 1, timeout=PATIENCE))
            await expect(reader, payloads)


async def offline(version, name):
    async with client(name, version, clean=False) as c:
        await c.subscribe(name, 1)
    payloads = [b"%d" % n for n in range(200)]
    async with client(name + "-w", version) as writer:
        for payload in payloads:
            await writer.publish(name, payload, 1, timeout=PATIENCE)
    async with client(name, version, clean=False) as c:
        await expect(c, payloads)


async def retained_and_will(version, name):
    will = aiomqtt.Will(name, b"gone", 1)
    async with client(name + "-w", version) as writer:
        await writer.publish(name, b"kept", 1, retain=True, timeout=PATIENCE)
        async with client(name + "-r", version) as reader:
            await reader.subscribe(name, 1)
            assert (await expect(reader, [b"kept"])).retain
            try:
                async with client(name + "-x", version, will=will) as lost:
                    async with client(name + "-x", version):  # a takeover, which sends the Will
                        await expect(reader, [b"gone"])
                        await expect(lost, [b""])
            except aiomqtt.MqttError:
                pass
            else:
                raise AssertionError("the first of two clients of one name lives on")
        await writer.publish(name, b"", 1, retain=True, timeout=PATIENCE)


async def properties(name):
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("b", "1"), ("a", "2")]
    sent.ResponseTopic = "answer/here"
    sent.CorrelationData = b"\x00\xff"
    async with client(name, FIVE) as c:
        await c.subscribe(name, 1)
        await c.publish(name, b"x", 1, properties=sent, timeout=PATIENCE)
        got = (await expect(c, [b"x"])).properties
        assert got.UserProperty == sent.UserProperty
        assert got.ResponseTopic == "answer/here" and got.CorrelationData == b"\x00\xff"


async def run():
    for version in (THREE, FIVE):
        for check in (round_trip, many, offline, retained_and_will):
            await check(version, "%s-%s" % (check.__name__, version.name))
    await properties("properties")
    print("passed")


asyncio.run(run())
