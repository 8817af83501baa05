"""One request after the other: encodes events, sends them, repeats what may be repeated."""

import gzip
import http.client
import json
import random
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, List, Optional, Tuple

EVENTS_MAX = 65_536  # of one request
REFUSALS_MAX = 16  # told one by one
AGAIN = (429, 503)  # nothing was taken: send the same again


class PushError(Exception):
    """A push that came to nothing; `status` is HTTP's, or None where no answer came."""

    def __init__(self, detail: str, status: Optional[int] = None) -> None:
        super().__init__(detail)
        self.status = status


class Refused(PushError):
    """The request can never succeed as it is: no JSON, too large, an address without events."""


class Unauthorized(PushError):
    """The token is wrong, or one is needed."""


class Unavailable(PushError):
    """No answer, or "later", until the time given was over. What was sent may have arrived: push the same
    events again, with the same ids, and they count once."""


@dataclass(frozen=True)
class Refusal:
    """Why one event was not taken: its place in what was pushed, the kind of fault, the field in words."""

    event: int
    fault: str
    detail: str


@dataclass
class Ack:
    """What became of a push. `accepted` are in the log; `duplicates` were there before."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    refusals: List[Refusal] = field(default_factory=list)  # the first of them

    def add(self, other: "Ack", behind: int = 0) -> None:
        """Counts `other`, whose first event stands at `behind` here."""
        self.accepted += other.accepted
        self.duplicates += other.duplicates
        self.refused += other.refused
        moved = [Refusal(each.event + behind, each.fault, each.detail) for each in other.refusals]
        self.refusals = (self.refusals + moved)[:REFUSALS_MAX]


class Client:
    """Pushes events to one server over one connection that is kept open. One thread at a time.

    `retry_s`: how long "later" (429, 503) and lost connections are tried again. Each event is sent with an id, its own
    or one made here, and every repetition has the same: what arrived twice counts once.
    """

    def __init__(
        self,
        url: str,
        token: Optional[str] = None,
        producer: Optional[str] = None,
        *,
        timeout_s: float = 30.0,
        retry_s: float = 60.0,
        gzip_bytes_min: int = 8_192,
        sleep: Callable[[float], Any] = time.sleep,
    ) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"url {url!r}: http://HOST:PORT is needed")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._path = parts.path.rstrip("/") + "/v1/events"
        self._headers = {"Accept": "application/json", "Content-Type": "application/x-ndjson"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if producer:
            self._headers["X-Headrace-Producer"] = producer
        self._retry_s = retry_s
        self._gzip_bytes_min = gzip_bytes_min
        self._sleep = sleep
        self._ids = uuid.uuid4().hex[:20]
        self._made = 0

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def push(self, events: Iterable[Dict[str, Any]]) -> Ack:
        """Sends `events`, as many requests as it takes, and returns when the log has them.

        Raises Refused, Unauthorized, Unavailable; ValueError or TypeError for what is no JSON, before anything is sent.
        """
        return self.push_encoded([self.encode(event) for event in events])

    def encode(self, event: Dict[str, Any]) -> bytes:
        """One event as a line, with an id."""
        if not isinstance(event, dict):
            raise TypeError(f"an event is a dict, this is {type(event).__name__}")
        if event.get("id") is None:
            self._made += 1
            event = {**event, "id": f"{self._ids}-{self._made}"}
        return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

    def push_encoded(self, lines: List[bytes]) -> Ack:
        """The same for lines made by `encode`."""
        total = Ack()
        for begin in range(0, len(lines), EVENTS_MAX):
            total.add(self._push_some(lines[begin : begin + EVENTS_MAX]), begin)
        return total

    def _push_some(self, lines: List[bytes]) -> Ack:
        status, answer = self._send(b"\n".join(lines) + b"\n")
        if status == 413 and len(lines) > 1:
            half = len(lines) // 2
            ack = self._push_some(lines[:half])
            ack.add(self._push_some(lines[half:]), half)
            return ack
        if "accepted" in answer:  # 200, or 400 where every event was refused
            return _ack_of(answer)
        detail = str(answer.get("error", f"HTTP status {status}"))
        raise (Unauthorized if status == 401 else Refused)(detail, status)

    def _send(self, body: bytes) -> Tuple[int, Dict[str, Any]]:
        """Sends until there is an answer that is one, or the time is over."""
        headers = dict(self._headers)
        if len(body) >= self._gzip_bytes_min:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            headers["Content-Encoding"] = "gzip"
        waited = 0.0
        attempt = 0
        while True:
            began = time.monotonic()
            status, answer, failure = self._try(body, headers)
            if status is not None and status not in AGAIN:
                return status, answer
            wait = _wait_of(answer, attempt)
            waited += time.monotonic() - began + wait
            if waited > self._retry_s:
                raise Unavailable(failure or str(answer.get("error", f"HTTP status {status}")), status)
            self._sleep(wait)
            attempt += 1

    def _try(self, body: bytes, headers: Dict[str, str]) -> Tuple[Optional[int], Dict[str, Any], str]:
        """One request: status and answer, or neither and why."""
        try:
            self._connection.request("POST", self._path, body, headers)
            response = self._connection.getresponse()
            return response.status, _answer_of(response), ""
        except (OSError, http.client.HTTPException) as lost:
            self._connection.close()  # the next request opens it again
            return None, {}, f"no answer: {lost or type(lost).__name__}"


def _answer_of(response: http.client.HTTPResponse) -> Dict[str, Any]:
    try:
        answer = json.loads(response.read() or b"{}")
    except ValueError:
        answer = {}
    answer = answer if isinstance(answer, dict) else {}
    after = response.getheader("Retry-After", "")
    if after.isdigit():
        answer.setdefault("retry_after_ms", 1_000 * int(after))
    return answer


def _wait_of(answer: Dict[str, Any], attempt: int) -> float:
    """Seconds to wait: what the server says, else longer each time, up to 5 s; never all producers at once."""
    told = answer.get("retry_after_ms")
    if isinstance(told, (int, float)) and told > 0:
        return told / 1_000 * random.uniform(1.0, 1.2)
    return min(5.0, 0.05 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0)


def _ack_of(answer: Dict[str, Any]) -> Ack:
    refusals = [
        Refusal(int(each.get("event", 0)), str(each.get("fault", "")), str(each.get("detail", "")))
        for each in answer.get("refusals", [])
    ]
    return Ack(int(answer["accepted"]), int(answer.get("duplicates", 0)), int(answer.get("refused", 0)), refusals)
