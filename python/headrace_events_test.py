#!/usr/bin/env python3
"""The client against an HTTP server of the standard library on loopback that answers as it is told. No test sleeps."""

import contextlib
import gzip
import io
import json
import os
import sys
import tempfile
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from headrace_events import Client, Producer, Refused, Unauthorized, Unavailable
from headrace_events.__main__ import main

LOST = "lost"  # the connection ends without an answer, after the events were taken


class Server:
    """Keeps ids like the gate does. `script` holds what the next requests get instead: (status, answer, headers)."""

    def __init__(self):
        self.script = []
        self.requests = []  # headers, events
        self.ids = []  # taken, in order
        self.gate = threading.Event()  # requests wait for it
        self.gate.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                outer.answer(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]

    def close(self):
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def take(self, events):
        fresh = list(dict.fromkeys(each["id"] for each in events if "bad" not in each))
        fresh = [each for each in fresh if each not in self.ids]
        refusals = [
            {"event": i, "fault": "wrong_type", "detail": "bad: no"} for i, each in enumerate(events) if "bad" in each
        ]
        self.ids += fresh
        counts = {"accepted": len(fresh), "duplicates": len(events) - len(fresh) - len(refusals)}
        return {**counts, "refused": len(refusals), "refusals": refusals[:16]}

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        events = [json.loads(line) for line in body.splitlines()]
        self.requests.append((handler.headers, events))
        self.gate.wait(30)
        step = self.script.pop(0) if self.script else None
        if step == LOST:
            self.take(events)
            handler.close_connection = True
            handler.connection.close()
            return
        status, answer, headers = step or (200, self.take(events), {})
        text = json.dumps(answer).encode()
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(text)


class Case(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.waits = []

    def client(self, **options):
        client = Client(self.server.url, sleep=self.waits.append, **options)
        self.addCleanup(client.close)
        return client


class PushTest(Case):
    def test_events_arrive_as_they_are_with_token_and_producer(self):
        events = [{"id": "a", "features": {"item": 18446744073709551615}, "name": "Zoë"}, {"id": "b", "x": None}]
        ack = self.client(token="secret", producer="shop").push(events)
        headers, arrived = self.server.requests[0]
        self.assertEqual(arrived, events)
        self.assertEqual(headers["Authorization"], "Bearer secret")
        self.assertEqual(headers["X-Headrace-Producer"], "shop")
        self.assertEqual((ack.accepted, ack.duplicates, ack.refused), (2, 0, 0))

    def test_an_event_without_an_id_gets_one_and_the_callers_stays_as_it_was(self):
        event = {"x": 1}
        client = self.client()
        client.push([event, event])
        self.assertEqual(event, {"x": 1})
        self.assertEqual(len(set(self.server.ids)), 2)

    def test_later_is_obeyed_and_the_same_ids_are_sent_again(self):
        later = {"error": "full", "code": "overloaded", "retry_after_ms": 200}
        self.server.script = [(429, later, {"Retry-After": "1"}), (503, {}, {"Retry-After": "2"})]
        ack = self.client().push([{"x": 1}, {"x": 2}])
        self.assertEqual(ack.accepted, 2)
        self.assertEqual([events for _, events in self.server.requests], [self.server.requests[0][1]] * 3)
        self.assertEqual(len(self.waits), 2)
        self.assertTrue(0.2 <= self.waits[0] <= 0.24, self.waits)
        self.assertTrue(2.0 <= self.waits[1] <= 2.4, self.waits)

    def test_a_lost_answer_never_doubles_an_event(self):
        self.server.script = [LOST]
        ack = self.client().push([{"x": 1}, {"x": 2}])
        self.assertEqual(len(self.server.requests), 2)
        self.assertEqual((ack.accepted, ack.duplicates), (0, 2))
        self.assertEqual(len(self.server.ids), 2)

    def test_it_gives_up_when_the_time_is_over(self):
        self.server.script = [(503, {"error": "stopping", "retry_after_ms": 600}, {})] * 5
        with self.assertRaisesRegex(Unavailable, "stopping") as told:
            self.client(retry_s=1.5).push([{"x": 1}])
        self.assertEqual(told.exception.status, 503)
        self.assertLess(len(self.waits), 3)

    def test_nobody_there_is_unavailable(self):
        url = self.server.url
        self.server.close()
        with self.assertRaisesRegex(Unavailable, "no answer"):
            Client(url, retry_s=0, sleep=self.waits.append).push([{"x": 1}])

    def test_a_wrong_token_is_not_tried_again(self):
        self.server.script = [(401, {"error": "a token is needed"}, {})]
        with self.assertRaisesRegex(Unauthorized, "a token is needed"):
            self.client().push([{"x": 1}])
        self.assertEqual(len(self.server.requests), 1)

    def test_a_request_that_can_never_succeed_is_refused(self):
        self.server.script = [(400, {"error": "not JSON"}, {}), (413, {"error": "too large"}, {})]
        for why in ("not JSON", "too large"):
            with self.assertRaisesRegex(Refused, why):
                self.client().push([{"x": 1}])

    def test_refused_events_are_told_one_by_one(self):
        ack = self.client().push([{"x": 1}, {"bad": 1}])
        self.assertEqual((ack.accepted, ack.refused), (1, 1))
        self.assertEqual((ack.refusals[0].event, ack.refusals[0].fault), (1, "wrong_type"))
        everything = {"error": "bad: no", "accepted": 0, "duplicates": 0, "refused": 1, "refusals": []}
        self.server.script = [(400, everything, {})]
        self.assertEqual(self.client().push([{"bad": 1}]).refused, 1)

    def test_what_is_too_large_is_sent_in_halves_with_places_kept(self):
        self.server.script = [(413, {"error": "too large"}, {})]
        ack = self.client().push([{"x": 1}, {"x": 2}, {"x": 3}, {"bad": 4}])
        self.assertEqual([len(events) for _, events in self.server.requests], [4, 2, 2])
        self.assertEqual((ack.accepted, ack.refusals[0].event), (3, 3))

    def test_large_bodies_are_packed_and_small_ones_are_not(self):
        client = self.client(gzip_bytes_min=1_000)
        client.push([{"x": "y" * 2_000}])
        client.push([{"x": "y"}])
        self.assertEqual([headers.get("Content-Encoding") for headers, _ in self.server.requests], ["gzip", None])

    def test_what_is_no_json_is_refused_before_anything_is_sent(self):
        for bad, kind in ((float("nan"), ValueError), (object(), TypeError)):
            with self.assertRaises(kind):
                self.client().push([{"x": 1}, {"x": bad}])
        with self.assertRaises(TypeError):
            self.client().push(["text"])
        self.assertEqual(self.server.requests, [])

    def test_an_address_that_is_none_is_refused(self):
        for url in ("127.0.0.1:80", "ftp://x", "http://"):
            with self.assertRaises(ValueError):
                Client(url)


class ProducerTest(Case):
    def test_events_arrive_in_order_in_batches_and_close_waits_for_them(self):
        with Producer(self.client(), batch_events=10, linger_s=3600) as producer:
            for i in range(95):
                producer.send({"id": str(i)})
        self.assertEqual(self.server.ids, [str(i) for i in range(95)])
        self.assertTrue(all(len(events) <= 10 for _, events in self.server.requests))
        self.assertEqual((producer.ack.accepted, producer.unsent), (95, 0))
        self.assertEqual(producer.close().accepted, 95)

    def test_a_batch_goes_when_it_is_large_enough(self):
        with Producer(self.client(), batch_bytes=300, linger_s=3600) as producer:
            for i in range(20):
                producer.send({"id": str(i), "x": "y" * 100})
        self.assertEqual([len(events) for _, events in self.server.requests], [2] * 10)

    def test_a_lonely_event_goes_when_it_has_waited(self):
        producer = Producer(self.client(), linger_s=0.001)
        arrived = threading.Event()
        take = self.server.take
        self.server.take = lambda events: (take(events), arrived.set())[0]
        producer.send({"id": "a"})
        self.assertTrue(arrived.wait(30))
        producer.close()

    def test_flush_returns_the_counts(self):
        producer = Producer(self.client(), linger_s=3600)
        self.addCleanup(producer.close)
        for event in ({"id": "a"}, {"id": "a"}, {"id": "b", "bad": 1}):
            producer.send(event)
        ack = producer.flush()
        self.assertEqual((ack.accepted, ack.refused), (1, 1))
        self.assertEqual(ack.refusals[0].event, 2)
        producer.send({"id": "c"})
        producer.send({"id": "d", "bad": 1})
        ack = producer.flush()
        self.assertEqual(ack.accepted, 2)
        self.assertEqual([each.event for each in ack.refusals], [2, 4])

    def test_a_full_buffer_makes_send_wait(self):
        self.server.gate.clear()
        producer = Producer(self.client(), batch_events=1, buffer_events=2, linger_s=0)
        done = threading.Event()
        sent = []

        def send():
            for i in range(6):
                producer.send({"id": str(i)})
                sent.append(i)
            done.set()

        thread = threading.Thread(target=send)
        thread.start()
        while not self.server.requests:  # the first is in flight; two more may wait
            done.wait(0.01)
        self.assertFalse(done.wait(0.05))
        self.assertLessEqual(len(sent), 4)
        self.server.gate.set()
        thread.join()
        self.assertEqual(producer.close().accepted, 6)

    def test_a_lost_answer_never_doubles_an_event(self):
        self.server.script = [LOST, (429, {"retry_after_ms": 1}, {}), LOST]
        with Producer(self.client(), batch_events=5) as producer:
            for i in range(30):
                producer.send({"x": i})
        self.assertEqual(len(self.server.ids), 30)
        self.assertEqual(len(set(self.server.ids)), 30)
        self.assertEqual(producer.ack.accepted + producer.ack.duplicates, 30)

    def test_a_failure_for_good_is_told_to_who_sends_next(self):
        self.server.script = [(401, {"error": "a token is needed"}, {})]
        producer = Producer(self.client(), linger_s=3600)
        producer.send({"x": 1})
        for call in (producer.flush, lambda: producer.send({"x": 2}), producer.close):
            with self.assertRaises(Unauthorized):
                call()
        self.assertEqual(producer.unsent, 1)

    def test_refusals_are_handed_over(self):
        told = []
        with Producer(self.client(), on_refused=told.extend) as producer:
            producer.send({"id": "a", "bad": 1})
        self.assertEqual(told[0].detail, "bad: no")

    def test_nothing_is_taken_after_the_end(self):
        producer = Producer(self.client())
        producer.close()
        with self.assertRaises(RuntimeError):
            producer.send({"x": 1})

    def test_sizes_below_one_are_refused(self):
        with self.assertRaises(ValueError):
            Producer(self.client(), batch_events=0)


class CommandTest(Case):
    def run_main(self, text, *more):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = main(["push", "--url", self.server.url, *more, file.name])
        return status, out.getvalue(), err.getvalue()

    def test_a_file_is_pushed_and_pushed_again_adds_only_what_is_new(self):
        text = '{"x":1}\n\n{"id":"own","x":2}\n{"x":1}\n'
        status, out, _ = self.run_main(text, "--batch", "2")
        self.assertEqual((status, json.loads(out)), (0, {"accepted": 3, "duplicates": 0, "refused": 0}))
        status, out, _ = self.run_main(text + '{"x":4}')
        self.assertEqual((status, json.loads(out)), (0, {"accepted": 1, "duplicates": 3, "refused": 0}))

    def test_the_token_comes_from_the_environment(self):
        with mock.patch.dict(os.environ, {"HEADRACE_TOKEN": "secret"}):
            self.run_main('{"x":1}')
        self.assertEqual(self.server.requests[0][0]["Authorization"], "Bearer secret")

    def test_refusals_are_printed_and_the_status_says_so(self):
        status, _, err = self.run_main('{"x":1}\n{"bad":1}')
        self.assertEqual(status, 1)
        self.assertIn("event 1: wrong_type: bad: no", err)

    def test_a_line_that_is_no_json_is_named(self):
        status, _, err = self.run_main('{"x":1}\n{"x":')
        self.assertEqual(status, 1)
        self.assertIn("line 2: ", err)

    def test_wrong_usage_ends_with_2(self):
        with self.assertRaises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()):
            main(["push", "--batch", "0", "x"])
        self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
