"""Makes a disk as power cuts would have left it, from the log of dm-log-writes, and looks what the gateway finds there.

    python3 replay.py GATEWAY DISK_BEFORE LOG FOLDER

The log's format is that of the kernel's Documentation/admin-guide/device-mapper/log-writes.rst and dm-log-writes.c: a
plain write is logged when a flush that began after its end is done, one with FUA and a mark at once. So everything
ahead of a mark was on stable storage when the mark was made, and what stands between two flushes may be lost or not.
Each point is a disk of its own: the kernel mounts it, `tidegate journal` judges and exports, and on each eighth a
gateway is started, publishers of QoS 2 go on where the last mark leaves them, and subscribers get what they are owed.
"""

import collections
import json
import mmap
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile

import clients
from clients import Publisher, Subscriber, Wrong

SECTOR = 512
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
MAGIC = 0x6A736677736872
CHUNK = 64 * 1024
# So many failures are told, all are counted.
SHOWN = 10
# A gateway is started on one point of so many.
STARTED = 8
CONFIGURATION = """
[gateway]
id = "power"
data_dir = "{folder}/data"
[broker]
max_queued_messages = 100000
[journal]
max_bytes = "2MiB"
when_full = "block"
[[listener]]
address = "127.0.0.1:{port}"
"""

ONCE = [topic for topic, qos, _ in clients.PUBLISHERS if qos == 2]

Entry = collections.namedtuple("Entry", "sector flags at length text")


def entries_of(log):
    """The log's entries, in order; data stays where it is."""
    magic, version, count, sector_size = struct.unpack_from("<QQQI", log)
    if (magic, version, sector_size) != (MAGIC, 1, SECTOR):
        raise SystemExit(f"this is no log of dm-log-writes: {magic:x}, version {version}, sectors of {sector_size}")
    at, entries = SECTOR, []
    for _ in range(count):
        sector, sectors, flags, length = struct.unpack_from("<QQQQ", log, at)
        text = log[at + 32 : at + 32 + length].decode() if flags & MARK else ""
        at += SECTOR
        entries.append(Entry(sector, flags, at, sectors * SECTOR, text))
        if not flags & DISCARD:
            at += sectors * SECTOR
    return entries


class Disk:
    """A disk's contents, sector by sector; knows where it is not empty."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = bytearray(file.read())
        empty = bytes(CHUNK)
        self.used = {at for at in range(0, len(self.bytes), CHUNK) if self.bytes[at : at + CHUNK] != empty}

    def apply(self, log, entry):
        if entry.flags & (DISCARD | MARK):
            return
        at = entry.sector * SECTOR
        self.bytes[at : at + entry.length] = log[entry.at : entry.at + entry.length]
        self.used.update(range(at // CHUNK * CHUNK, at + entry.length, CHUNK))

    def save(self, path):
        with open(path, "wb") as file:
            for at in sorted(self.used):
                file.seek(at)
                file.write(self.bytes[at : at + CHUNK])
            file.truncate(len(self.bytes))


class State:
    """What the publishers and the visitor knew when a mark was made."""

    def __init__(self, text=""):
        self.why, *rest = text.split(",")
        self.received, self.completed, self.taken, self.open = {}, {}, {}, set()
        for name, value in (item.split("=") for item in rest):
            if name.startswith("taken:"):
                self.taken[name[6:]] = int(value)
            elif name == "open":
                self.open = clients.unpacked(value)
            else:
                self.received[name], self.completed[name] = map(int, value.split("/"))


class Point:
    """A power cut: everything ahead of entry `begin` is on the disk; of what follows ahead of `end`, only what was
    written with FUA, and the sectors of survivors. The last mark ahead of `end` tells what must be there."""

    def __init__(self, kind, begin, end=None, survivors=None):
        self.kind, self.begin, self.end, self.survivors = kind, begin, end or begin, survivors or {}


def sectors_of(entry):
    return range(entry.length // SECTOR)


def flushes_of(entries):
    return [at for at, entry in enumerate(entries) if entry.flags & FLUSH]


def points_of(entries, count, rng):
    """A third at marks, of each kind alike; a third around flushes; a third between two flushes, with losses."""
    marks, share = collections.defaultdict(list), count // 3
    for at, entry in enumerate(entries):
        if entry.flags & MARK:
            marks[entry.text.split(",")[0]].append(at)
    points = []
    for left, (why, places) in enumerate(sorted(marks.items(), key=lambda item: len(item[1]))):
        some = min(len(places), (share - len(points)) // (len(marks) - left))
        points += [Point(f"at a mark ({why})", at + 1) for at in rng.sample(places, some)]
    around = [at for at, entry in enumerate(entries) if entry.flags & (FLUSH | FUA)]
    for at in rng.sample(around, min(len(around), share // 2)):
        points += [Point("ahead of a flush", at), Point("behind a flush", at + 1)]
    gaps = list(zip(flushes_of(entries), flushes_of(entries)[1:]))
    gaps = [(before, at) for before, at in gaps if any(entry.length for entry in entries[before + 1 : at])]
    # Without any flush there is nothing between two.
    points += [torn(entries, *rng.choice(gaps), rng) for _ in range(count - len(points) if gaps else 0)]
    return sorted(points, key=lambda point: point.begin)


def torn(entries, before, at, rng):
    """Just before a flush is done: what was written since the one before is there or lost, one write is torn."""
    begin = before + 1
    pending = [place for place in range(begin, at) if entries[place].length and not entries[place].flags & FUA]
    share = rng.choice([0.1, 0.5, 0.9])
    survivors = {place: sectors_of(entries[place]) for place in pending if rng.random() < share}
    if pending:
        place = rng.choice(pending)
        survivors[place] = [sector for sector in sectors_of(entries[place]) if rng.random() < share]
    return Point("between two flushes", begin, at, survivors)


def planted(entries, count, rng):
    """Disks that lie: at an acknowledgement, what the last two flushes covered is not there. That must be found."""
    flushes, points = flushes_of(entries), []
    for before, _, flush in zip(flushes, flushes[1:], flushes[2:]):
        if entries[flush + 1].text.startswith(("acknowledged", "received")):
            points.append(Point("with two flushes ignored", before + 1, flush + 2))
    points = rng.sample(points, min(len(points), count))
    return sorted(points, key=lambda point: point.begin)


def work_of(entries, log):
    """How often a segment was begun, in how many files, and how many commits carry copies of older messages, by the
    journal's format: the top of src/journal/mod.rs."""
    begun, files, copies = set(), {}, 0
    for entry in entries:
        page = log[entry.at : entry.at + entry.length]
        if page.startswith(b"TIDEGATE"):
            ordinal, length = struct.unpack_from("<Q", page, 16)[0], struct.unpack_from("<Q", page, 48)[0] // SECTOR
            begun.add(ordinal)
            # The same header stands in the last page.
            if entry.sector - length + 8 not in files:
                files[entry.sector] = length
        elif any(first < entry.sector < first + length for first, length in files.items()):
            copies += 2 in kinds_of(page)
    return len(begun), len(files), copies


def kinds_of(commit):
    """The kinds of its entries, each of which is its length (varint), its kind, its body."""
    at, end, kinds = 20, 20 + struct.unpack_from("<I", commit, 4)[0], set()
    while at < min(end, len(commit) - 6):
        length, shift = 0, 0
        while commit[at] & 128:
            length, shift, at = length | (commit[at] & 127) << shift, shift + 7, at + 1
        length, at = length | commit[at] << shift, at + 1
        kinds.add(commit[at])
        at += length
    return kinds


class Replay:
    """Goes through the log once, from point to point."""

    def __init__(self, gateway, disk, log, folder):
        self.gateway, self.folder = gateway, folder
        self.log = log
        self.entries = entries_of(log)
        self.before = disk
        self.started = self.mended = 0

    def disks(self, points):
        """Each point, with the file of its disk and what the publishers knew."""
        disk, done = Disk(self.before), 0
        for point in points:
            for entry in self.entries[done : point.begin]:
                disk.apply(self.log, entry)
            done = point.begin
            path = os.path.join(self.folder, "cut.img")
            disk.save(path)
            self.finish(path, point)
            texts = (entry.text for entry in reversed(self.entries[: point.end]) if "=" in entry.text)
            yield point, path, State(next(texts, ""))
            os.remove(path)

    def finish(self, path, point):
        """What reached the disk since the last flush."""
        with open(path, "r+b") as file:
            for at in range(point.begin, point.end):
                entry = self.entries[at]
                for sector in sectors_of(entry) if entry.flags & FUA else point.survivors.get(at, ()):
                    there = entry.at + sector * SECTOR
                    file.seek((entry.sector + sector) * SECTOR)
                    file.write(self.log[there : there + SECTOR])

    def judge(self, path, state, starts):
        """Mounts a disk and looks whether everything is there."""
        # Each has a place of its own: whoever copied our mounts meanwhile may hold on to the one before.
        place = tempfile.mkdtemp(dir=self.folder)
        self.mount(path, place)
        try:
            data = os.path.join(place, "data")
            if os.path.isdir(os.path.join(data, "journal")):
                run([self.gateway, "journal", "verify", data])
                exported = run([self.gateway, "journal", "export", data])
                check(state, [json.loads(line) for line in exported.splitlines()])
                if starts and state.completed.get("kept/c"):
                    self.start(place, state)
            elif any(state.received.values()):
                raise Wrong("there is no journal")
        finally:
            if subprocess.run(["umount", place], check=False).returncode:
                subprocess.run(["umount", "-l", place], check=True)
            os.rmdir(place)

    def mount(self, path, place):
        """As at a boot: a torn superblock of ext4 is for e2fsck to mend."""
        try:
            run(["mount", "-o", "loop", path, place])
        except Wrong:
            self.mended += 1
            run(["e2fsck", "-fy", path], {0, 1})
            run(["mount", "-o", "loop", path, place])

    def start(self, place, state):
        """The gateway goes on from this disk, with its publishers and subscribers."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        configuration = os.path.join(self.folder, "tidegate.toml")
        with open(configuration, "w") as file:
            file.write(CONFIGURATION.format(folder=place, port=port))
        environment = {**os.environ, "TIDEGATE_LOG": "error"}
        gateway = subprocess.Popen([self.gateway, "run", "--config", configuration], env=environment)
        try:
            go_on(port, state)
            self.started += 1
        finally:
            gateway.kill()
            gateway.wait()


def run(command, good=(0,)):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in good:
        raise Wrong(f"{' '.join(command[:3])} ends with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def check(state, exported):
    """Everything that was acknowledged and not taken is there, in order, without a gap; at QoS 2 once."""
    owed = collections.defaultdict(list)
    for line in exported:
        number = int(line["payload"].split()[0])
        if line["payload"] != clients.payload(number):
            raise Wrong(f"{line['topic']}: {line['payload']!r} is not what it was")
        owed[line["topic"]].append(number)
    for topic, last in state.received.items():
        taken = state.taken.get(topic, 0)
        needed = [number for number in owed[topic] if number > taken]
        if topic not in ONCE:
            # A publisher that was cut off has said again what was not answered.
            needed = list(dict.fromkeys(needed))
        if needed != list(range(taken + 1, taken + 1 + len(needed))):
            raise Wrong(f"{topic}: {taken} were taken, and what is owed has gaps or no order: {needed}")
        if taken + len(needed) < last:
            raise Wrong(f"{topic}: {last} were acknowledged, {taken} taken, and only {len(needed)} are there")


def go_on(port, state):
    """Brings to its end what was open at QoS 2, and looks what both sessions get."""
    needed = dict(state.received)
    for topic, qos, window in clients.PUBLISHERS:
        if qos == 2:
            sender = Publisher(topic, qos, window, state.received[topic], state.completed[topic])
            sender.published = sender.completed + window
            sender.resume(port)
            needed[topic] = finish(sender)
    for topic, qos in (("flow/end", 1), ("once/end", 2), ("kept/end", 2)):
        last = Publisher(topic, qos, 1)
        last.connect(port)
        last.offer(1)
        needed[topic] = finish(last)
    away = {topic: last for topic, last in needed.items() if topic.startswith("kept")}
    receive(Subscriber("away"), port, away)
    receive(Subscriber("visitor", state.taken, state.open), port, dict(needed.items() - away.items()))


def finish(publisher):
    """Brings to its end what it has begun. Gives back its last number."""
    while publisher.completed < publisher.published:
        for number in publisher.answers():
            publisher.release(number)
    publisher.close()
    return publisher.published


def receive(subscriber, port, needed):
    """Until everything has come that is needed; at QoS 2 nothing more and nothing twice."""
    subscriber.connect(port)
    while any(subscriber.taken[topic] < last for topic, last in needed.items()):
        try:
            for answer in subscriber.messages():
                subscriber.send(*answer)
        except TimeoutError:
            raise Wrong(f"a new gateway owes {needed}, and delivers {dict(subscriber.taken)}") from None
    subscriber.close()
    for topic in ONCE:
        if topic in needed and subscriber.taken[topic] != needed[topic]:
            raise Wrong(f"{topic}: {needed[topic]} were published, {subscriber.taken[topic]} came")


def main(gateway, disk, log, folder):
    seed = int(os.environ.get("TIDEGATE_REPLAY_SEED", 1))
    rng = random.Random(seed)
    replay = Replay(gateway, disk, log, folder)
    points, lost = points_of(replay.entries, int(os.environ.get("TIDEGATE_REPLAY_POINTS", 500)), rng), 0
    for number, (point, path, state) in enumerate(replay.disks(points)):
        try:
            replay.judge(path, state, number % STARTED == 0)
        except (Wrong, OSError, AssertionError) as error:
            lost += 1
            if lost <= SHOWN:
                print(f"  seed {seed}, point {number}, {point.kind}, entries {point.begin} to {point.end}: {error}")
    tell(replay, points, lost)
    lies, found = planted(replay.entries, 20, rng), 0
    for _, path, state in replay.disks(lies):
        try:
            replay.judge(path, state, False)
        except Wrong:
            found += 1
    print(f"  the proof of the proof: with two flushes ignored, {found} of {len(lies)} acknowledgements are found broken")
    return 0 if points and not lost and found else 1


def tell(replay, points, lost):
    entries = replay.entries
    for kind, many in sorted(collections.Counter(point.kind for point in points).items()):
        print(f"  {many} points {kind}")
    last = State(next(entry.text for entry in reversed(entries) if entry.text.startswith("stopped")))
    writes = sum(1 for entry in entries if entry.length)
    forced = sum(1 for entry in entries if entry.flags & FUA)
    marks = sum(1 for entry in entries if entry.flags & MARK)
    begun, files, copies = work_of(entries, replay.log)
    print(
        f"  {len(points)} points of {writes} writes, {len(flushes_of(entries))} flushes, {forced} writes with FUA and "
        f"{marks} marks\n"
        f"  {begun} segments were begun, in {files} places, and {copies} commits carry copies of older messages\n"
        f"  {sum(last.received.values())} messages acknowledged, {sum(last.taken.values())} taken; {replay.started} "
        f"gateways started, {replay.mended} disks mended by e2fsck; lost {lost}"
    )


if __name__ == "__main__":
    GATEWAY, DISK, LOG, FOLDER = map(os.path.abspath, sys.argv[1:])
    with open(LOG, "rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        sys.exit(main(GATEWAY, DISK, mapped, FOLDER))
