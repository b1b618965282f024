"""paho-mqtt, 1.6 and 2.x, against a broker: python paho_checks.py PORT"""
import queue
import sys


import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PORT = int(sys.argv[1])
PATIENCE = 60
TWO = hasattr(mqtt, "CallbackAPIVersion")


class Peer:
    """A client whose callbacks are queues."""

    def __init__(self, id, version, clean=True, will=None):
        five = version == mqtt.MQTTv5
        options = dict(client_id=id, protocol=version, reconnect_on_failure=False)
        if not five:
            options["clean_session"] = clean
        if TWO:
            self.c = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, **options)
        else:
            self.c = mqtt.Client(**options)
        self.c.max_inflight_messages_set(500)
        self.messages = queue.Queue()
        self.connected = queue.Queue()
        self.subscribed = queue.Queue()
        self.ended = queue.Queue()
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, code, *_: self.connected.put((flags, code))
        self.c.on_subscribe = lambda *a: self.subscribed.put(a)
        self.c.on_disconnect = lambda *a: self.ended.put(a)
        if will:
            self.c.will_set(*will, qos=1)
        more = {}
        if five:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 0 if clean else 3600
            more = dict(clean_start=clean, properties=properties)
        self.c.connect("127.0.0.1", PORT, 60, **more)
        self.c.loop_start()
        flags, code = self.connected.get(timeout=PATIENCE)
        assert code == 0, code
        self.present = flags.session_present if TWO else bool(flags["session present"])

    def subscribe(self, topic, qos, **more):
        self.c.subscribe(topic, qos, **more)
        self.subscribed.get(timeout=PATIENCE)
        return self

    def publish(self, topic, payload, qos, **more):
        info = self.c.publish(topic, payload, qos, **more)
        info.wait_for_publish(PATIENCE)

    def next(self):
        return self.messages.get(timeout=PATIENCE)

    def close(self):
        self.c.disconnect()
        self.c.loop_stop()


def round_trip(version, name):
    reader = Peer(name + "-r", version).subscribe(name + "/+", 2)
    writer = Peer(name + "-w", version)
    for qos in (0, 1, 2):
        writer.publish(name + "/t", "hello %d" % qos, qos)
        got = reader.next()
        assert (got.payload, got.qos) == (b"hello %d" % qos, qos)
    reader.close(), writer.close()


def large(version, name):
    payload = bytes(range(256)) * 65536
    peer = Peer(name, version).subscribe(name, 2)
    for qos in (0, 1, 2):
        peer.publish(name, payload, qos)
        assert peer.next().payload == payload
    peer.close()


def many(version, name):
    reader = Peer(name + "-r", version).subscribe(name, 2)
    writer = Peer(name + "-w", version)
    for qos in (0, 1, 2):
        for n in range(10000):
            info = writer.c.publish(name, b"%d" % n, qos)
        info.wait_for_publish(PATIENCE)
        for n in range(10000):
            assert reader.next().payload == b"%d" % n
    reader.close(), writer.close()


def offline(version, name):
    peer = Peer(name, version, clean=False)
    assert not peer.present
    peer.subscribe(name, 1).close()
    writer = Peer(name + "-w", version)
    for n in range(300):
        writer.publish(name, b"%d" % n, 1 + n % 2)
    peer = Peer(name, version, clean=False)
    assert peer.present
    for n in range(300):
        assert peer.next().payload == b"%d" % n
    peer.close(), writer.close()


def retained(version, name):
    writer = Peer(name + "-w", version)
    writer.publish(name, b"kept", 1, retain=True)
    reader = Peer(name + "-r", version).subscribe(name, 1)
    got = reader.next()
    assert got.retain and got.payload == b"kept"
    writer.publish(name, b"", 1, retain=True)
    assert not reader.next().retain
    Peer(name + "-s", version).subscribe(name, 1).close()
    reader.close(), writer.close()


def will(version, name):
    watcher = Peer(name + "-r", version).subscribe(name, 1)
    lost = Peer(name + "-w", version, will=(name, b"gone"))
    lost.c.socket().shutdown(2)
    assert watcher.next().payload == b"gone"
    lost.ended.get(timeout=PATIENCE)
    Peer(name + "-w", version, will=(name, b"gone")).close()
    watcher.publish(name, b"end", 1)
    assert watcher.next().payload == b"end"
    watcher.close()


def takeover(version, name):
    first = Peer(name, version)
    second = Peer(name, version).subscribe(name, 0)
    why = first.ended.get(timeout=PATIENCE)
    if TWO and version == mqtt.MQTTv5:
        assert why[3].value == 0x8E, why
    second.publish(name, b"mine", 1)
    assert second.next().payload == b"mine"
    second.close()


def properties(name):
    sent = Properties(PacketTypes.PUBLISH)
    sent.UserProperty = [("b", "1"), ("a", "2"), ("b", "3")]
    sent.ContentType = "text/plain"
    sent.ResponseTopic = "answer/here"
    sent.CorrelationData = b"\x00\x01\xff"
    sent.MessageExpiryInterval = 100
    sent.PayloadFormatIndicator = 1
    peer = Peer(name, mqtt.MQTTv5)
    for filter, id in ((name + "/#", 7), (name + "/t", 268435455)):
        wanted = Properties(PacketTypes.SUBSCRIBE)
        wanted.SubscriptionIdentifier = id
        peer.subscribe(filter, 1, properties=wanted)
    peer.publish(name + "/t", "grüße", 1, properties=sent)
    got = peer.next().properties
    assert got.UserProperty == sent.UserProperty
    assert got.ContentType == "text/plain" and got.ResponseTopic == "answer/here"
    assert got.CorrelationData == b"\x00\x01\xff" and got.PayloadFormatIndicator == 1
    assert 95 <= got.MessageExpiryInterval <= 100
    assert sorted(got.SubscriptionIdentifier) == [7, 268435455]
    peer.close()


def run():
    for version in (mqtt.MQTTv31, mqtt.MQTTv311, mqtt.MQTTv5):
        checks = [round_trip, retained, will, takeover]
        if version != mqtt.MQTTv31:
            checks += [offline, large, many]
        for check in checks:
            check(version, "%s-%d" % (check.__name__, version))
    properties("properties")
    print("passed")


run()
