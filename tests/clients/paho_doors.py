"""paho-mqtt over TLS and WebSocket: python paho_doors.py CA-FILE KIND:PORT...

KIND is tls, ws or wss; "named" behind it wants the user and password of STONECHAT_USER and
STONECHAT_PASSWORD."""
import os
import queue
import socket
import ssl
import sys

import paho.mqtt.client as mqtt

CA = sys.argv[1]
PATIENCE = 60


class Peer:
    """A client whose callbacks are queues."""

    def __init__(self, kind, port, version, user=None, ca=CA, path="/mqtt", host="localhost"):
        transport = "tcp" if kind == "tls" else "websockets"
        self.c = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, protocol=version, transport=transport,
            reconnect_on_failure=False)
        if transport == "websockets":
            self.c.ws_set_options(path=path)
        if kind != "ws":
            self.c.tls_set(ca_certs=ca)
        if user:
            self.c.username_pw_set(*user)
        self.messages = queue.Queue()
        self.connected = queue.Queue()
        self.subscribed = queue.Queue()
        self.c.on_message = lambda c, u, m: self.messages.put(m)
        self.c.on_connect = lambda c, u, flags, code, properties: self.connected.put(code)
        self.c.on_socket_open = self.at_once
        self.c.on_subscribe = lambda *a: self.subscribed.put(a)
        self.c.connect("127.0.0.1" if kind == "ws" else host, port, 60)
        self.c.loop_start()
        self.code = self.connected.get(timeout=PATIENCE)

    def at_once(self, client, userdata, sock):
        """Small packets do not wait for the acknowledgement of those before them."""
        sock = getattr(sock, "_socket", sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def round_trip(self, payload, qos):
        info = self.c.publish("t", payload, qos)
        info.wait_for_publish(PATIENCE)
        got = self.messages.get(timeout=PATIENCE)
        assert (got.payload, got.qos) == (payload, qos), (got.payload[:20], got.qos)

    def close(self):
        self.c.disconnect()
        self.c.loop_stop()


def messages(kind, port, version):
    peer = Peer(kind, port, version)
    assert peer.code == 0, peer.code
    peer.c.subscribe("t", 2)
    peer.subscribed.get(timeout=PATIENCE)
    for qos in (0, 1, 2):
        for payload in (b"", b"hello", bytes(range(256)) * 800):
            peer.round_trip(payload, qos)
    for n in range(300):
        info = peer.c.publish("t", b"%d" % n, 1)
    info.wait_for_publish(PATIENCE)
    for n in range(300):
        assert peer.messages.get(timeout=PATIENCE).payload == b"%d" % n
    peer.close()


def fails(error, *arguments, **options):
    try:
        Peer(*arguments, **options)
    except error:
        return
    raise AssertionError("it came in: %r" % (arguments,))


def passwords(kind, port, version):
    user, password = os.environ["STONECHAT_USER"], os.environ["STONECHAT_PASSWORD"]
    for who, code in (((user, password), 0), ((user, "robin"), 134), (None, 135)):
        peer = Peer(kind, port, version, who)
        assert peer.code.value == code, (who, peer.code)
        peer.close()


for word in sys.argv[2:]:
    kind, port, *named = word.split(":")
    for version in (mqtt.MQTTv311, mqtt.MQTTv5):
        if named:
            passwords(kind, int(port), version)
        else:
            messages(kind, int(port), version)
    if kind != "ws":
        fails(ssl.SSLCertVerificationError, kind, int(port), mqtt.MQTTv5, ca=None)
    if kind != "tls":
        fails(mqtt.WebsocketConnectionError, kind, int(port), mqtt.MQTTv5, path="/elsewhere")
print("passed")
