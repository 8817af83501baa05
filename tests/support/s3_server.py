#!/usr/bin/env python3
"""A small S3 server that trusts nobody: for tests, on loopback, Python's standard library only.

It recomputes every signature (AWS Signature Version 4, header form), and refuses a wrong one, an unsigned
x-amz-* header, a payload that does not have the signed hash, UNSIGNED-PAYLOAD, and a clock that is more than
15 minutes off. It keeps objects as files, so that a test can damage one: ROOT/data/NAME and ROOT/meta/NAME,
NAME percent-encoded.

    s3_server.py --root FOLDER [--port 0] [--bucket ckpt] [--page 1000] [--clock-offset SECONDS] [--with-stdin]

Credentials: S3_SERVER_KEY, S3_SERVER_SECRET, S3_SERVER_TOKEN (optional), region: S3_SERVER_REGION (us-east-1).
Prints "listening on PORT". With --with-stdin it ends when its standard input does, so that it never outlives a test.
ROOT/requests.log gets a line for each answer: METHOD NAME STATUS.
ROOT/faults, when there, is a list of words, one for each of the next requests (the file shrinks as they are used):
ok; 500, 503, 429 (that status); drop (close, no answer); short (half of the body, then close); stall (no answer for
20 s); slow-down (503 with the S3 code SlowDown); redirect (301); denied (403 AccessDenied); garbage (200, not XML).
"""

import argparse
import datetime
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import socket
import sys
import tempfile
import threading
import urllib.parse
import xml.sax.saxutils

SKEW_MAX_S = 15 * 60
LOCK = threading.Lock()


class refused(Exception):
    def __init__(self, status, code, message=""):
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


def quote(text, safe=""):
    return urllib.parse.quote(text, safe=safe + "-_.~")


def hmac_sha256(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "headrace-test-s3"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        return True  # sent below, once the headers were found good

    # -- signature ----------------------------------------------------------------------------------------------

    def split(self):
        path, _, query = self.path.partition("?")
        return urllib.parse.unquote(path), urllib.parse.parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))

    def canonical_request(self, signed):
        path, query = self.split()
        pairs = sorted((quote(name), quote(value)) for name, value in query)
        headers = "".join(f"{name}:{' '.join(self.headers.get(name, '').split())}\n" for name in signed)
        return "\n".join([
            self.command,
            quote(path, "/"),
            "&".join(f"{name}={value}" for name, value in pairs),
            headers,
            ";".join(signed),
            self.headers["x-amz-content-sha256"],
        ])

    def check_signature(self):
        who = self.server
        given = self.headers.get("authorization", "")
        if not given.startswith("AWS4-HMAC-SHA256 "):
            raise refused(403, "AccessDenied", "no signature")
        try:
            fields = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
            key, day, region, service, ending = fields["Credential"].split("/")
            signed = fields["SignedHeaders"].split(";")
        except (KeyError, ValueError):
            raise refused(400, "AuthorizationHeaderMalformed")
        if key != who.key:
            raise refused(403, "InvalidAccessKeyId")
        if (region, service, ending) != (who.region, "s3", "aws4_request"):
            raise refused(400, "AuthorizationHeaderMalformed", f"expecting '{who.region}'")
        if self.headers.get("x-amz-security-token", "") != who.token:
            raise refused(400, "InvalidToken" if "x-amz-security-token" in self.headers else "ExpiredToken")
        must = {name.lower() for name in self.headers if name.lower().startswith("x-amz-")} | {"host"}
        if must - set(signed) or signed != sorted(signed):
            raise refused(403, "AccessDenied", "headers present which were not signed")
        stamp = self.headers.get("x-amz-date", "")
        try:
            then = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        except ValueError:
            raise refused(403, "AccessDenied", "no date")
        if abs((who.now() - then).total_seconds()) > SKEW_MAX_S:
            raise refused(403, "RequestTimeTooSkewed")
        if stamp[:8] != day:
            raise refused(400, "AuthorizationHeaderMalformed", "the scope has another day")
        payload = self.headers.get("x-amz-content-sha256", "")
        if len(payload) != 64:
            raise refused(400, "InvalidRequest", "the payload must be signed")
        text = self.canonical_request(signed)
        scope = f"{day}/{region}/{service}/{ending}"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}"
        secret = hmac_sha256(("AWS4" + who.secret).encode(), day)
        for part in (region, service, ending):
            secret = hmac_sha256(secret, part)
        good = hmac.new(secret, to_sign.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(good, fields.get("Signature", "")):
            raise refused(403, "SignatureDoesNotMatch")

    # -- answers ------------------------------------------------------------------------------------------------

    def date_time_string(self, timestamp=None):
        return self.server.now().strftime("%a, %d %b %Y %H:%M:%S GMT")

    def answer(self, status, body=b"", headers=(), close=False):
        with LOCK, open(self.server.root / "requests.log", "a", encoding="utf-8") as log:
            log.write(f"{self.command} {urllib.parse.unquote(self.path.partition('?')[0])} {status}\n")
        self.send_response(status)
        names = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "content-length" not in names and status != 204:
            self.send_header("content-length", str(len(body)))
        if close:
            self.send_header("connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_refused(self, why, headers=()):
        escaped = xml.sax.saxutils.escape(why.message)
        body = f'<?xml version="1.0"?><Error><Code>{why.code}</Code><Message>{escaped}</Message></Error>'
        # The body of a refused PUT may still be on its way: this connection is of no more use.
        self.answer(why.status, body.encode(), headers, close=True)

    def hang_up(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def next_fault(self):
        path = self.server.root / "faults"
        with LOCK:
            words = path.read_text().split() if path.exists() else []
            if not words:
                return "ok"
            path.write_text("\n".join(words[1:]))
            return words[0]

    def handle_fault(self, fault):
        if fault.isdigit():
            self.answer_refused(refused(int(fault), "InternalError", "as asked"))
        elif fault == "slow-down":
            self.answer_refused(refused(503, "SlowDown"))
        elif fault == "redirect":
            self.answer_refused(refused(301, "PermanentRedirect"), [("x-amz-bucket-region", "eu-central-1")])
        elif fault == "denied":
            self.answer_refused(refused(403, "AccessDenied"))
        elif fault == "garbage":
            self.answer(200, b"<html>welcome to this hotel's network</html>", close=True)
        elif fault == "drop":
            self.hang_up()
        elif fault == "stall":
            self.server.stopped.wait(20)
            self.hang_up()

    def serve(self):
        fault = self.next_fault()
        try:
            if fault not in ("ok", "short"):
                return self.handle_fault(fault)
            self.check_signature()
            path, query = self.split()
            bucket, _, name = path.lstrip("/").partition("/")
            if bucket != self.server.bucket:
                raise refused(404, "NoSuchBucket")
            {"PUT": self.put, "GET": self.get, "HEAD": self.get, "DELETE": self.delete}[self.command](
                name, dict(query), fault == "short")
        except refused as why:
            self.answer_refused(why)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = serve

    # -- objects ------------------------------------------------------------------------------------------------

    def place(self, kind, name):
        return self.server.root / kind / quote(name)

    def put(self, name, _, __):
        left = int(self.headers.get("content-length", "-1"))
        if left < 0 or not name:
            raise refused(411, "MissingContentLength")
        if self.headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        hasher = hashlib.sha256()
        handle, temporary = tempfile.mkstemp(dir=self.server.root)
        with os.fdopen(handle, "wb") as file:
            while left > 0:
                piece = self.rfile.read(min(left, 1 << 20))
                if not piece:
                    os.unlink(temporary)
                    return self.hang_up()
                hasher.update(piece)
                file.write(piece)
                left -= len(piece)
        if hasher.hexdigest() != self.headers["x-amz-content-sha256"]:
            os.unlink(temporary)
            raise refused(400, "XAmzContentSHA256Mismatch")
        meta = {key.lower(): value for key, value in self.headers.items() if key.lower().startswith("x-amz-meta-")}
        self.place("meta", name).write_text(json.dumps(meta))
        os.replace(temporary, self.place("data", name))
        self.answer(200)

    def get(self, name, query, short):
        if not name:
            return self.list(query)
        try:
            meta = json.loads(self.place("meta", name).read_text())
            file = open(self.place("data", name), "rb")
        except FileNotFoundError:
            raise refused(404, "NoSuchKey")
        with file:
            size = os.fstat(file.fileno()).st_size
            self.answer(200, b"", [("content-length", str(size)), *meta.items()])
            if self.command == "HEAD":
                return
            left = size // 2 if short else size
            while left > 0:
                piece = file.read(min(left, 1 << 20))
                self.wfile.write(piece)
                left -= len(piece)
        if short:
            self.wfile.flush()
            self.hang_up()

    def delete(self, name, _, __):
        for kind in ("data", "meta"):
            self.place(kind, name).unlink(missing_ok=True)
        self.answer(204)

    def list(self, query):
        if query.get("list-type") != "2":
            raise refused(400, "InvalidArgument", "list-type=2 only")
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        names = sorted(urllib.parse.unquote(entry) for entry in os.listdir(self.server.root / "data"))
        names = [name for name in names if name.startswith(prefix) and name > after]
        page = names[:self.server.page]
        cut = len(names) > len(page)
        rows = "".join(
            f"<Contents><Key>{xml.sax.saxutils.escape(name)}</Key>"
            f"<Size>{self.place('data', name).stat().st_size}</Size></Contents>" for name in page)
        token = f"<NextContinuationToken>{xml.sax.saxutils.escape(page[-1])}</NextContinuationToken>" if cut else ""
        self.answer(200, (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{'true' if cut else 'false'}</IsTruncated>{token}{rows}</ListBucketResult>").encode())


class server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, options):
        super().__init__(("127.0.0.1", options.port), handler)
        self.root, self.bucket, self.page = pathlib.Path(options.root), options.bucket, options.page
        self.offset = datetime.timedelta(seconds=options.clock_offset)
        self.key = os.environ["S3_SERVER_KEY"]
        self.secret = os.environ["S3_SERVER_SECRET"]
        self.token = os.environ.get("S3_SERVER_TOKEN", "")
        self.region = os.environ.get("S3_SERVER_REGION", "us-east-1")
        self.stopped = threading.Event()
        for kind in ("data", "meta"):
            (self.root / kind).mkdir(parents=True, exist_ok=True)

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + self.offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bucket", default="ckpt")
    parser.add_argument("--page", type=int, default=1000)
    parser.add_argument("--clock-offset", type=float, default=0)
    parser.add_argument("--with-stdin", action="store_true")
    options = parser.parse_args()
    if options.with_stdin:
        threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    with server(options) as running:
        print(f"listening on {running.server_address[1]}", flush=True)
        running.serve_forever()


if __name__ == "__main__":
    main()
