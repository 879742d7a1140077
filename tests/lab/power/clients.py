"""Publishers and subscribers with sessions that survive, as little of MQTT 3.1.1 as they need.

Used by publish.py in the virtual machine and by replay.py outside of it, so that one goes on where the other was cut.
Messages of a topic are numbered from 1; the payload is that number and what follows from it.
"""

import collections
import socket
import time

# Far longer than anything takes, in an emulated machine too.
PATIENCE_SECONDS = 60
# Topic, quality of service, and how many messages may be open. `visitor` takes what is below flow and once, when he is
# there; `away` is never there, and is owed what is below kept, so that every segment holds something that is needed.
PUBLISHERS = [("flow/a", 1, 6), ("once/b", 2, 6), ("kept/a", 1, 5), ("kept/c", 2, 5)]


def identifier(number):
    return number % 60000 + 1


def payload(number):
    return (f"{number} " * 40)[:160]


def packed(numbers):
    """A set of numbers that are near each other, as text: the first, and a bit for each from there on."""
    first = min(numbers, default=0)
    return f"{first:x}:{sum(1 << number - first for number in numbers):x}"


def unpacked(text):
    first, bits = (int(part, 16) for part in text.split(":"))
    return {first + at for at in range(bits.bit_length()) if bits >> at & 1}


class Client:
    """A connection to the gateway, for a session that outlives it."""

    def __init__(self, name):
        self.name = name
        self.socket = None

    def connect(self, port):
        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
                break
            except ConnectionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.held, self.early = b"", []
        name = self.name.encode()
        self.send(0x10, b"\0\4MQTT\4\0\0\0" + len(name).to_bytes(2, "big") + name)
        self.first(0x20)

    def close(self):
        self.socket.close()
        self.socket = None

    def send(self, head, body):
        length, bytes_of_length = len(body), b""
        while True:
            length, low = divmod(length, 128)
            bytes_of_length += bytes([low | (128 if length else 0)])
            if not length:
                break
        self.socket.sendall(bytes([head]) + bytes_of_length + body)

    def read(self):
        """The packets that are there, each its first byte and its body; waits for some bytes."""
        packets, self.early = self.early, []
        if packets:
            return packets
        got = self.socket.recv(65536)
        if not got:
            raise ConnectionResetError(f"{self.name}: the gateway closes the connection")
        self.held += got
        while True:
            length, at = 0, 1
            while at < len(self.held) and self.held[at] & 128:
                at += 1
            if at >= len(self.held):
                return packets
            for byte in reversed(self.held[1 : at + 1]):
                length = length * 128 + (byte & 127)
            end = at + 1 + length
            if len(self.held) < end:
                return packets
            packets.append((self.held[0], self.held[at + 1 : end]))
            self.held = self.held[end:]

    def first(self, wanted):
        """The body of the next packet, which must be that one; what came with it waits."""
        packets = []
        while not packets:
            packets = self.read()
        (head, body), *self.early = packets
        assert head == wanted, (self.name, head)
        return body


class Publisher(Client):
    """Publishes one topic at one quality of service, with so many messages open."""

    def __init__(self, topic, qos, window, received=0, completed=0):
        super().__init__("from-" + topic.replace("/", "-"))
        self.topic, self.qos, self.window = topic, qos, window
        # Up to here: published, answered for the first time (PUBACK, PUBREC), answered for good (PUBACK, PUBCOMP).
        self.published = self.received = received
        self.completed = completed

    def publish(self, number, again):
        topic = self.topic.encode()
        head = 0x30 | self.qos << 1 | (8 if again else 0)
        body = len(topic).to_bytes(2, "big") + topic + identifier(number).to_bytes(2, "big")
        self.send(head, body + payload(number).encode())

    def release(self, number):
        self.send(0x62, identifier(number).to_bytes(2, "big"))

    def resume(self, port):
        """Goes on with what was open, in its order."""
        self.connect(port)
        for number in range(self.completed + 1, self.received + 1):
            self.release(number)
        for number in range(self.received + 1, self.published + 1):
            self.publish(number, True)

    def offer(self, last):
        """As much as the window allows, up to that number."""
        while self.published < min(last, self.completed + self.window):
            self.published += 1
            self.publish(self.published, False)

    def answers(self):
        """Takes the answers that have come. Gives back the numbers to release, once they may be."""
        received = []
        for head, body in self.read():
            kind, of = head >> 4, int.from_bytes(body[:2], "big")
            if kind in (4, 5):
                self.received += 1
                assert of == identifier(self.received), (self.topic, self.received, of)
                received += [self.received] if kind == 5 else []
            if kind in (4, 7):
                self.completed += 1
                assert of == identifier(self.completed), (self.topic, self.completed, of)
        return received


class Subscriber(Client):
    """A session that is owed everything below a topic."""

    def __init__(self, name, taken=(), open_identifiers=()):
        super().__init__(name)
        # By topic: everything up to here has come, and is not needed again.
        self.taken = collections.Counter(dict(taken))
        # At QoS 2: what has come under these is not released yet, and may come again.
        self.open = set(open_identifiers)

    def subscribe(self, topic, qos):
        topic = topic.encode()
        self.send(0x82, b"\0\1" + len(topic).to_bytes(2, "big") + topic + bytes([qos]))
        assert self.first(0x90)[-1] == qos

    def messages(self):
        """Takes what has come. Gives back the answers to send, each its first byte and its body."""
        answers = []
        for head, body in self.read():
            if head >> 4 == 6:
                self.open.discard(int.from_bytes(body, "big"))
                answers.append((0x70, body))
                continue
            assert head >> 4 == 3, head
            qos, length = head >> 1 & 3, int.from_bytes(body[:2], "big")
            topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
            answers.append((0x40 if qos == 1 else 0x50, rest[:2]))
            number = int.from_bytes(rest[:2], "big")
            if qos == 1 or number not in self.open:
                self.take(topic, qos, rest[2:].decode())
            if qos == 2:
                self.open.add(number)
        return answers

    def take(self, topic, qos, text):
        number = int(text.split()[0])
        if text != payload(number):
            raise Wrong(f"{topic}: message {number} is not what it was: {text!r}")
        if number > self.taken[topic] + 1 or (qos == 2 and number <= self.taken[topic]):
            raise Wrong(f"{topic}: message {number} comes after {self.taken[topic]}")
        self.taken[topic] = max(number, self.taken[topic])


class Wrong(Exception):
    """Something was lost, came twice, or is not what it was."""
