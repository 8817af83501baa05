#!/usr/bin/env python3
"""A small Kafka broker whose topics have one partition: for tests, on loopback, Python's standard library only.

It has what librdkafka's mock cluster lacks: record batches lie in a file, so that it can be killed and started
again; DeleteRecords and DescribeConfigs; the bound on a message; and answers that are lost behind what was done.
Every topic that is asked for is there. A producer's retry of its newest batch is known by its sequence and not written again.

    kafka_server.py --root FOLDER --port PORT [--config NAME=VALUE]... [--keep-all]

--config: what DescribeConfigs tells; max.message.bytes is obeyed. --keep-all: DeleteRecords is not allowed.
Prints "listening on PORT". FOLDER/faults, when there, is a list of words, one for each of the next produce requests
(the file shrinks as they are used): ok; lost (written, then the connection is closed); drop (closed at once).
"""

import argparse
import os
import pathlib
import socketserver
import struct
import threading
import time

PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, DELETE_RECORDS, PRODUCER_ID, CONFIGS = 0, 1, 2, 3, 18, 21, 22, 32
VERSIONS = {PRODUCE: 3, FETCH: 4, LIST_OFFSETS: 1, METADATA: 1, API_VERSIONS: 0, DELETE_RECORDS: 0, PRODUCER_ID: 0,
            CONFIGS: 0}
OUT_OF_RANGE, UNKNOWN_TOPIC, TOO_LARGE, NOT_ALLOWED, UNSUPPORTED, OUT_OF_ORDER = 1, 3, 10, 29, 35, 45
BATCH_LENGTH_AT, PRODUCER_AT, SEQUENCE_AT, COUNT_AT = 8, 43, 53, 57


class lost_answer(Exception):
    pass


class reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(form)
        return value

    def take(self, size):
        self.at += max(size, 0)
        return self.data[self.at - size:self.at] if size >= 0 else None

    def text(self):
        value = self.take(self.number("h"))
        return None if value is None else value.decode()

    def blob(self):
        return self.take(self.number("i"))

    def array(self, read):
        return [read() for _ in range(max(self.number("i"), 0))]


def text(value):
    return struct.pack(">h", -1) if value is None else struct.pack(">h", len(value)) + value.encode()


def blob(value):
    return struct.pack(">i", len(value)) + value


def array(items):
    return struct.pack(">i", len(items)) + b"".join(items)


class partition:
    """Record batches in a file, each behind nothing: a batch has its length. `first` lies in a file beside it."""

    def __init__(self, root, bytes_max):
        self.bytes_max = bytes_max
        self.changed = threading.Condition()
        self.batches = []  # (first offset, offset behind it, bytes)
        self.producers = {}  # id: (sequence of its newest batch, that batch's offset, the next sequence)
        self.first_path = root / "first"
        self.first = int(self.first_path.read_text()) if self.first_path.exists() else 0
        self.next = 0
        self.file = open(root / "batches", "a+b", buffering=0)
        self.file.seek(0)
        old = self.file.read()
        at = 0
        while at + 12 <= len(old) and at + self.size(old[at:]) <= len(old):
            batch = old[at:at + self.size(old[at:])]
            self.keep(batch)
            at += len(batch)
        self.file.truncate(at)
        self.next = max(self.next, self.first)

    @staticmethod
    def size(batch):
        return 12 + struct.unpack_from(">i", batch, BATCH_LENGTH_AT)[0]

    def keep(self, batch):
        (offset,) = struct.unpack_from(">q", batch)
        (count,) = struct.unpack_from(">i", batch, COUNT_AT)
        (producer,) = struct.unpack_from(">q", batch, PRODUCER_AT)
        (sequence,) = struct.unpack_from(">i", batch, SEQUENCE_AT)
        if producer >= 0:
            self.producers[producer] = (sequence, offset, sequence + count)
        self.batches.append((offset, offset + count, batch))
        self.next = offset + count

    def append(self, batch):
        """(error, offset)"""
        with self.changed:
            if len(batch) > self.bytes_max:
                return TOO_LARGE, -1
            (producer,) = struct.unpack_from(">q", batch, PRODUCER_AT)
            (sequence,) = struct.unpack_from(">i", batch, SEQUENCE_AT)
            newest = self.producers.get(producer)
            if newest and newest[0] == sequence:
                return 0, newest[1]
            if newest and newest[2] != sequence:
                return OUT_OF_ORDER, -1
            batch = struct.pack(">q", self.next) + batch[8:]
            offset = self.next
            self.file.write(batch)
            self.keep(batch)
            self.changed.notify_all()
            return 0, offset

    def fetch(self, offset, bytes_max, wait_ms):
        deadline = time.monotonic() + wait_ms / 1000
        with self.changed:
            while offset == self.next and time.monotonic() < deadline:
                self.changed.wait(deadline - time.monotonic())
            if offset < self.first or offset > self.next:
                return OUT_OF_RANGE, b""
            found = b""
            for _, behind, batch in self.batches:
                if behind > offset and (not found or len(found) + len(batch) <= bytes_max):
                    found += batch
            return 0, found

    def delete_before(self, offset):
        with self.changed:
            offset = self.next if offset == -1 else offset
            if offset > self.next:
                return OUT_OF_RANGE, -1
            self.first = max(self.first, offset)
            beside = self.first_path.with_suffix(".new")
            beside.write_text(str(self.first))
            os.replace(beside, self.first_path)
            return 0, self.first


class connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while head := self.rfile.read(4):
            asked = reader(self.rfile.read(struct.unpack(">i", head)[0]))
            api, version, number = asked.number("h"), asked.number("h"), asked.number("i")
            asked.text()  # whose
            try:
                said = self.answer(api, version, asked)
            except lost_answer:
                return
            self.wfile.write(blob(struct.pack(">i", number) + said))

    def answer(self, api, version, asked):
        if api == API_VERSIONS:
            known = [struct.pack(">hhh", key, min(most, 0 if key == API_VERSIONS else most), most)
                     for key, most in VERSIONS.items()]
            return struct.pack(">h", UNSUPPORTED if version > 0 else 0) + array(known)
        return {PRODUCE: self.produce, FETCH: self.fetch, LIST_OFFSETS: self.list_offsets, METADATA: self.metadata,
                DELETE_RECORDS: self.delete_records, PRODUCER_ID: self.producer_id, CONFIGS: self.configs}[api](asked)

    def by_partition(self, asked, read, answer):
        """What `answer` says to each partition, none where there is no such one, and what `read` reads behind it."""
        def topic():
            name = asked.text()
            parts = asked.array(lambda: (asked.number("i"), read()))
            log = self.server.log_of(name)
            return text(name) + array([struct.pack(">i", part) + answer(log if part == 0 else None, what)
                                       for part, what in parts])
        return array(asked.array(topic))

    def metadata(self, asked):
        names = asked.array(asked.text)
        port = self.server.server_address[1]
        broker = struct.pack(">i", 1) + text("127.0.0.1") + struct.pack(">i", port) + text(None)
        one = struct.pack(">hii", 0, 0, 1) + array([struct.pack(">i", 1)]) * 2
        topics = [struct.pack(">h", 0) + text(name) + b"\0" + array([one]) for name in names]
        return array([broker]) + struct.pack(">i", 1) + array(topics)

    def produce(self, asked):
        fault = self.server.next_fault()
        if fault == "drop":
            raise lost_answer
        asked.text()  # transaction
        asked.number("h")
        asked.number("i")

        def answer(log, batch):
            error, offset = log.append(batch) if log else (UNKNOWN_TOPIC, -1)
            return struct.pack(">hqq", error, offset, -1)
        said = self.by_partition(asked, asked.blob, answer)
        if fault == "lost":
            raise lost_answer
        return said + struct.pack(">i", 0)

    def fetch(self, asked):
        asked.number("i")
        wait_ms, _, bytes_max, _ = asked.number("i"), asked.number("i"), asked.number("i"), asked.number("b")

        def answer(log, what):
            if not log:
                return struct.pack(">hqq", UNKNOWN_TOPIC, -1, -1) + array([]) + blob(b"")
            error, found = log.fetch(what[0], min(what[1], bytes_max), wait_ms)
            end = log.next
            return struct.pack(">hqq", error, end, end) + array([]) + blob(found)
        return struct.pack(">i", 0) + self.by_partition(asked, lambda: (asked.number("q"), asked.number("i")), answer)

    def list_offsets(self, asked):
        asked.number("i")

        def answer(log, when):
            if not log:
                return struct.pack(">hqq", UNKNOWN_TOPIC, -1, -1)
            return struct.pack(">hqq", 0, -1, log.first if when == -2 else log.next)
        return self.by_partition(asked, lambda: asked.number("q"), answer)

    def producer_id(self, asked):
        return struct.pack(">ihqh", 0, 0, self.server.new_producer(), 0)

    def delete_records(self, asked):
        def answer(log, before):
            if not log or self.server.keep_all:
                return struct.pack(">qh", -1, NOT_ALLOWED if log else UNKNOWN_TOPIC)
            error, first = log.delete_before(before)
            return struct.pack(">qh", first, error)
        return struct.pack(">i", 0) + self.by_partition(asked, lambda: asked.number("q"), answer)

    def configs(self, asked):
        def resource():
            kind, name = asked.number("b"), asked.text()
            asked.array(asked.text)
            entries = [text(key) + text(value) + b"\0\0\0" for key, value in self.server.configs.items()]
            return struct.pack(">h", 0) + text(None) + struct.pack(">b", kind) + text(name) + array(entries)
        return struct.pack(">i", 0) + array(asked.array(resource))


class broker(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, args):
        self.root = pathlib.Path(args.root)
        self.keep_all = args.keep_all
        self.configs = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
                        "max.message.bytes": "1048588"}
        self.configs.update(one.split("=", 1) for one in args.config)
        self.logs = {}
        self.lock = threading.Lock()
        self.newest_producer = time.time_ns() >> 20  # another one each time it starts
        super().__init__(("127.0.0.1", args.port), connection)

    def log_of(self, topic):
        with self.lock:
            if topic not in self.logs:
                folder = self.root / topic
                folder.mkdir(exist_ok=True)
                self.logs[topic] = partition(folder, int(self.configs["max.message.bytes"]))
            return self.logs[topic]

    def new_producer(self):
        with self.lock:
            self.newest_producer += 1
            return self.newest_producer

    def next_fault(self):
        path = self.root / "faults"
        with self.lock:
            words = path.read_text().split() if path.exists() else []
            if words:
                path.write_text(" ".join(words[1:]))
            return words[0] if words else "ok"

    def handle_error(self, request, client_address):
        pass  # a client that went away


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--keep-all", action="store_true")
    with broker(parser.parse_args()) as server:
        print("listening on", server.server_address[1], flush=True)
        server.serve_forever()
