"""python3 -m headrace_events push FILE.jsonl: pushes one JSON object a line ("-" is standard input).

The counts are printed as one line of JSON. An event without an id gets one made of its line and the line's number, so a
file that is pushed again, or grew, adds only what is new. The token is read from HEADRACE_TOKEN.
Exit status: 0 all accepted or there before, 1 something was refused or could not be sent, 2 wrong usage.
"""

import argparse
import hashlib
import json
import os
import sys
from typing import Any, BinaryIO, Dict, Iterator, List, Optional

from .client import Client, PushError
from .producer import Producer


def events_of(lines: BinaryIO) -> Iterator[Dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line:
            continue
        try:
            event = json.loads(line)
        except ValueError as wrong:
            raise ValueError(f"line {number}: {wrong}") from None
        if not isinstance(event, dict):
            raise ValueError(f"line {number}: an event is a JSON object")
        if event.get("id") is None:
            event["id"] = hashlib.sha256(b"%d %s" % (number, line)).hexdigest()[:32]
        yield event


def push(options: argparse.Namespace) -> int:
    client = Client(options.url, os.environ.get("HEADRACE_TOKEN"), options.producer, retry_s=options.retry_s)
    with open(options.file, "rb") if options.file != "-" else sys.stdin.buffer as lines:
        with Producer(client, batch_events=options.batch) as producer:
            for event in events_of(lines):
                producer.send(event)
            ack = producer.flush()
    print(json.dumps({"accepted": ack.accepted, "duplicates": ack.duplicates, "refused": ack.refused}))
    for refusal in ack.refusals:
        print(f"event {refusal.event}: {refusal.fault}: {refusal.detail}", file=sys.stderr)
    return 1 if ack.refused else 0


def main(arguments: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m headrace_events", description="Pushes events to Headrace.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("push", help="push a file of one JSON object a line")
    command.add_argument("file", help="FILE.jsonl, or - for standard input")
    command.add_argument("--url", default="http://127.0.0.1:8080", help="of the server (%(default)s)")
    command.add_argument("--producer", help="name of who pushes")
    command.add_argument("--batch", type=int, default=1_000, help="events of one request (%(default)s)")
    command.add_argument("--retry-s", type=float, default=60.0, help="how long to try again (%(default)s)")
    options = parser.parse_args(arguments)
    if not 1 <= options.batch <= 65_536:
        parser.error("--batch: 1 to 65536 are accepted")
    try:
        return push(options)
    except (PushError, OSError, ValueError) as failed:
        print(f"headrace_events: {failed}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
