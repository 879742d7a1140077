# The oracle: what a journal should hold, kept by SQLite with synchronous=FULL. Reads operations as JSON lines, answers
# "dump" with everything that is there.
import json, sqlite3, sys

path = sys.argv[1]


def connect():
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma journal_mode=wal")
    db.execute("pragma synchronous=full")
    return db


db = connect()
db.executescript("""
create table if not exists consumers(id integer primary key);
create table if not exists message(sequence integer primary key, payload text);
create table if not exists owed(consumer integer, sequence integer, primary key(consumer, sequence));
create table if not exists assigned(consumer integer, identifier integer, sequence integer, released integer,
                                    primary key(consumer, identifier));
create table if not exists retained(topic text primary key, payload text);
""")
db.execute("begin")


def one(text, *values):
    return db.execute(text, values)


def settle(consumer, sequence):
    one("delete from owed where consumer=? and sequence=?", consumer, sequence)
    one("delete from assigned where consumer=? and sequence=?", consumer, sequence)


for line in sys.stdin:
    what, *rest = json.loads(line)
    if what == "open":
        one("insert or ignore into consumers values(?)", *rest)
    elif what == "close":
        for table, column in (("consumers", "id"), ("owed", "consumer"), ("assigned", "consumer")):
            one(f"delete from {table} where {column}=?", *rest)
    elif what == "keep":
        sequence, payload, consumers = rest
        one("insert into message values(?,?)", sequence, payload)
        for consumer in consumers:
            one("insert into owed select id, ? from consumers where id=?", sequence, consumer)
    elif what == "settle":
        settle(*rest)
    elif what == "assign":
        consumer, identifier, sequence = rest
        if one("select 1 from consumers where id=?", consumer).fetchone():
            one("insert or replace into assigned values(?,?,?,0)", consumer, identifier, sequence)
    elif what == "release":
        one("update assigned set released=1 where consumer=? and identifier=?", *rest)
    elif what == "forget":
        one("delete from assigned where consumer=?", *rest)
    elif what == "retain":
        one("insert or replace into retained values(?,?)", *rest)
    elif what == "clear":
        one("delete from retained where topic=?", *rest)
    elif what == "commit":
        db.execute("commit")
        db.execute("begin")
    elif what == "crash":
        # What was not committed never was.
        db.close()
        db = connect()
        db.execute("begin")
    elif what == "dump":
        rows = {
            "owed": "select consumer, sequence, payload from owed join message using(sequence) order by 1, 2",
            "assigned": "select consumer, identifier, sequence, released from assigned order by 1, 2",
            "retained": "select topic, payload from retained order by 1",
            "consumers": "select id from consumers order by 1",
        }
        print(json.dumps({name: db.execute(text).fetchall() for name, text in rows.items()}), flush=True)
