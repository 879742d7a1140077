"""Publishes to a real gateway in the virtual machine, and marks in the disk's log what was acknowledged.

    python3 publish.py GATEWAY CONFIGURATION PORT MAPPED_DEVICE MESSAGES

Everybody here says what he knows in one process, so that each mark tells everything: a mark is made when an answer or a
message has come and before anything is done about it. The gateway is killed twice. Runs on Debian's smallest Python.
"""

import fcntl
import selectors
import struct
import subprocess
import sys

import clients

# The visitor comes and goes after so many messages of the first topic; the gateway is killed at these parts of all.
VISIT = 150
KILLS = (0.35, 0.7)
# One message that is kept for so many that are taken.
RARITY = 8


class Marks:
    """Marks in the log of a dm-log-writes device: DM_TARGET_MSG of linux/dm-ioctl.h."""

    TARGET_MESSAGE = 0xC138FD0E
    # version (3), size, where the message begins, five that are unused, device number, name, uuid
    HEADER = struct.Struct("=10IQ128s129s7x")

    def __init__(self, name):
        self.name = name
        self.control = open("/dev/mapper/control", "wb")
        self.count = 0

    def make(self, text):
        # A sector of the log holds the mark and 32 bytes ahead of it; the kernel would cut it off in silence.
        assert len(text) < 512 - 32, text
        message = struct.pack("=Q", 0) + f"mark {text}".encode() + b"\0"
        size = self.HEADER.size + len(message)
        header = self.HEADER.pack(4, 0, 0, size, self.HEADER.size, 0, 0, 0, 0, 0, 0, self.name.encode(), b"")
        fcntl.ioctl(self.control, self.TARGET_MESSAGE, bytearray(header + message))
        self.count += 1


class World:
    def __init__(self, gateway, configuration, port, device, messages):
        self.command = [gateway, "run", "--config", configuration]
        self.port, self.messages = int(port), int(messages)
        self.marks = Marks(device)
        self.publishers = [clients.Publisher(*publisher) for publisher in clients.PUBLISHERS]
        self.visitor = clients.Subscriber("visitor")
        self.away = clients.Subscriber("away")
        self.selector = selectors.DefaultSelector()
        self.visits = self.visit_ends = 0

    def mark(self, why):
        state = [f"{p.topic}={p.received}/{p.completed}" for p in self.publishers]
        state += [f"taken:{topic}={number}" for topic, number in self.visitor.taken.items()]
        state.append(f"open={clients.packed(self.visitor.open)}")
        self.marks.make(",".join([why, *state]))

    def start(self):
        self.gateway = subprocess.Popen(self.command)
        for publisher in self.publishers:
            publisher.resume(self.port)
            self.selector.register(publisher.socket, selectors.EVENT_READ, publisher)
        self.mark("started")

    def stop(self, kill):
        for key in list(self.selector.get_map().values()):
            self.selector.unregister(key.fileobj)
        self.gateway.kill() if kill else self.gateway.terminate()
        self.gateway.wait()
        for client in [*self.publishers, self.visitor]:
            if client.socket:
                client.close()
        self.mark("killed" if kill else "stopped")

    def settle(self):
        """Both sessions exist, and their owners leave."""
        for subscriber, topics in [(self.visitor, {"flow/#": 1, "once/#": 2}), (self.away, {"kept/#": 2})]:
            subscriber.connect(self.port)
            for topic, qos in topics.items():
                subscriber.subscribe(topic, qos)
            subscriber.close()
        self.mark("subscribed")

    def visit(self):
        """The visitor comes or goes when it is time."""
        first = self.publishers[0].completed
        if self.visitor.socket is None and first >= self.visit_ends + VISIT:
            self.visitor.connect(self.port)
            self.selector.register(self.visitor.socket, selectors.EVENT_READ, self.visitor)
            self.visits, self.visit_ends = self.visits + 1, first + VISIT
            if self.visitor.early:
                self.take()
        elif self.visitor.socket and first >= self.visit_ends:
            self.selector.unregister(self.visitor.socket)
            self.visitor.close()

    def step(self):
        first = self.publishers[0].completed
        for publisher in self.publishers:
            is_rare = publisher.topic.startswith("kept")
            publisher.offer(first // RARITY + 1 if is_rare else self.messages)
        ready = self.selector.select(clients.PATIENCE_SECONDS)
        if not ready:
            raise TimeoutError(f"nobody is answered: {[(p.topic, p.completed, p.published) for p in self.publishers]}")
        for key, _ in ready:
            client = key.data
            if client is self.visitor:
                self.take()
            else:
                received = client.answers()
                self.mark("received" if received else "acknowledged")
                for number in received:
                    client.release(number)

    def take(self):
        answers = self.visitor.messages()
        self.mark("taken")
        for answer in answers:
            self.visitor.send(*answer)

    def run(self):
        self.start()
        self.settle()
        kills = [self.messages * part for part in KILLS]
        while self.publishers[0].completed < self.messages:
            self.visit()
            self.step()
            if kills and self.publishers[0].completed >= kills[0]:
                kills.pop(0)
                self.stop(True)
                self.start()
        self.stop(False)
        completed = {p.topic: p.completed for p in self.publishers}
        taken = dict(self.visitor.taken)
        print(f"{completed}, taken {taken} in {self.visits} visits, {self.marks.count} marks", flush=True)


World(*sys.argv[1:]).run()
