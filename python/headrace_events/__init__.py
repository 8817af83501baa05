"""Pushes events to Headrace over HTTP; nothing but the standard library (Python 3.9 and later).

    from headrace_events import Client, Producer

    client = Client("http://127.0.0.1:8080", producer="shop")
    ack = client.push([{"key": "r7", "features": {"user": "u7", "item": 13}, "rating": 5}])
    print(ack.accepted, ack.duplicates, ack.refused)

    with Producer(client) as events:          # gathers, sends in its own thread
        events.send({"key": "r7", "action": "click"})

docs/events.md has the shape of an event and what each answer means.
"""

from .client import Ack, Client, PushError, Refusal, Refused, Unauthorized, Unavailable
from .producer import Producer

__all__ = ["Ack", "Client", "Producer", "PushError", "Refusal", "Refused", "Unauthorized", "Unavailable"]
