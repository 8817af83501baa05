"""Gathers events and pushes them from a thread of its own."""

import collections
import threading
import time
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

from .client import Ack, Client, PushError


class Producer:
    """Events in from any thread, batches out in their order.

    A batch goes when it has `batch_events` or `batch_bytes`, or when its first event has waited `linger_s`. At most
    `buffer_events` wait; then `send` blocks. Each event gets its id in `send`, so every repetition has the same.

    When a push fails for good (`Client` gave up, or the server refuses the request), the producer stops: `send`, `flush`
    and `close` raise that error, and `unsent` says how many events did not get their answer. Single events that the server
    refuses are counted in `ack`, and told to `on_refused(refusals)` in the producer's thread.
    """

    def __init__(
        self,
        client: Client,
        *,
        batch_events: int = 1_000,
        batch_bytes: int = 1 << 20,
        linger_s: float = 0.05,
        buffer_events: int = 100_000,
        on_refused: Optional[Callable[[List[Any]], None]] = None,
    ) -> None:
        if min(batch_events, batch_bytes, buffer_events) < 1:
            raise ValueError("batch_events, batch_bytes and buffer_events are 1 or more")
        self._client = client
        self._batch_events = batch_events
        self._batch_bytes = batch_bytes
        self._linger_s = linger_s
        self._buffer_events = buffer_events
        self._on_refused = on_refused
        self._changed = threading.Condition()  # guards what follows
        self._waiting: Deque[Tuple[bytes, float]] = collections.deque()  # line, when it came
        self._waiting_bytes = 0
        self._in_flight = 0
        self._flushes = 0  # that wait
        self._closing = False
        self._failure: Optional[BaseException] = None
        self._ack = Ack()
        self._thread = threading.Thread(target=self._run, name="headrace-events", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Producer":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except PushError:
            pass  # the error on its way says more

    def send(self, event: Dict[str, Any]) -> None:
        """Takes one event; blocks while the buffer is full. Raises ValueError or TypeError for what is no JSON."""
        with self._changed:
            line = self._client.encode(event)
            while len(self._waiting) >= self._buffer_events and not self._failure and not self._closing:
                self._changed.wait()
            self._raise_failure()
            if self._closing:
                raise RuntimeError("the producer is closed")
            self._waiting.append((line, time.monotonic()))
            self._waiting_bytes += len(line)
            self._changed.notify_all()

    def flush(self) -> Ack:
        """Returns when every event sent so far has its answer: the counts of all of them."""
        with self._changed:
            self._flushes += 1
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._failure or not (self._waiting or self._in_flight))
            finally:
                self._flushes -= 1
            self._raise_failure()
            return self.ack

    def close(self) -> Ack:
        """Flushes and ends the thread. Again: the same counts."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._client.close()
        self._raise_failure()
        return self.ack

    @property
    def ack(self) -> Ack:
        """Counts of what was answered; the refusals are the first ones, by their place among all events."""
        with self._changed:
            copy = Ack()
            copy.add(self._ack)
            return copy

    @property
    def unsent(self) -> int:
        with self._changed:
            return len(self._waiting) + self._in_flight

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _is_due(self) -> bool:
        if self._closing or self._flushes > 0:
            return True
        return len(self._waiting) >= self._batch_events or self._waiting_bytes >= self._batch_bytes

    def _next_batch(self) -> List[bytes]:
        """Waits for a batch and takes it; empty when there will be none."""
        with self._changed:
            while not (self._waiting and self._is_due()):
                if not self._waiting:
                    if self._closing:
                        return []
                    self._changed.wait()
                    continue
                left = self._waiting[0][1] + self._linger_s - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            lines: List[bytes] = []
            size = 0
            while self._waiting and len(lines) < self._batch_events:
                line = self._waiting[0][0]
                if lines and size + len(line) > self._batch_bytes:
                    break
                self._waiting.popleft()
                lines.append(line)
                size += len(line)
            self._waiting_bytes -= size
            self._in_flight = len(lines)
            self._changed.notify_all()
            return lines

    def _run(self) -> None:
        sent = 0
        while True:
            lines = self._next_batch()
            if not lines:
                return
            try:
                ack = self._client.push_encoded(lines)
                if ack.refusals and self._on_refused is not None:
                    self._on_refused(ack.refusals)
            except BaseException as failure:  # told to whoever sends, flushes or closes next
                with self._changed:
                    self._failure = failure
                    self._changed.notify_all()
                return
            with self._changed:
                self._ack.add(ack, sent)
                self._in_flight = 0
                self._changed.notify_all()
            sent += len(lines)
