"""A small HTTP server of the tests' own: it keeps every request, and answers as a test wants."""

import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from becalm_engine.ids import is_name


@dataclass(frozen=True, slots=True)
class Request:
    """What came. `target` is the path with the query, names of headers are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The path without the query."""
        return self.target.partition("?")[0]

    @property
    def kind(self) -> str:
        """The folder of a repository's file, or `config`."""
        parts = self.path.split("/")
        return parts[-3 if parts[-3:-2] == ["data"] else -2] if is_name(parts[-1]) else parts[-1]

    @property
    def signed_for(self) -> list[str]:
        """Access key, date, region and service of the signature."""
        credential = self.headers["authorization"].partition("Credential=")[2].partition(",")[0]
        return credential.split("/")[:4]


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `promised_bytes` is a Content-Length that is not true; `reset` breaks the connection."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None
    reset: bool = False
    silent: bool = False
    without_length: bool = False


def refusal(status: int, code: str, message: str = "so it is", more: str = "") -> Answer:
    """Return S3's way to say no."""
    return Answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode())


Respond = Callable[[Request], Answer]


@dataclass(slots=True)
class HttpServer:
    """A running server and what it was asked."""

    url: str
    requests: list[Request] = field(default_factory=list)

    def asked(self, method: str, kind: str = "") -> list[Request]:
        """Return the requests of a method, if wanted those for one kind of file."""
        return [one for one in self.requests if one.method == method and kind in ("", one.kind)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, respond: Respond, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.respond = respond
        self.tls = tls
        self.ended = threading.Event()
        self.found = HttpServer(f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}")

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that break off are what some tests are about."""

    def get_request(self) -> tuple[socket.socket, object]:
        connection, address = super().get_request()
        if self.tls is not None:  # the handshake is for the thread of the connection
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, body)
        self.server.found.requests.append(request)
        answer = self.server.respond(request)
        if answer.silent:
            self.server.ended.wait()
        if answer.silent or answer.reset:
            self._reset()
        else:
            self._send(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815  names that http.server looks for

    def _reset(self) -> None:
        self.close_connection = True
        # with no time to linger, closing is a reset
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        promised = len(answer.body) if answer.promised_bytes is None else answer.promised_bytes
        headers = {name.lower(): value for name, value in answer.headers.items()}
        length = {} if answer.without_length else {"content-length": str(promised)}
        for name, value in {**length, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.close_connection = self.close_connection or answer.promised_bytes is not None

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serving_http(respond: Respond, *, tls: ssl.SSLContext | None = None) -> Iterator[HttpServer]:
    """Run a server on loopback."""
    server = _Server(respond, tls)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.found
    finally:
        server.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


def forwarding(url: str, refuse: Callable[[Request], Answer | None] = lambda _: None) -> Respond:
    """Return what makes a server a proxy of another one, which refuses some requests itself.

    Headers go on as they are: the signature holds for the host that the client named.
    """
    host = url.partition("://")[2]

    def respond(request: Request) -> Answer:
        refused = refuse(request)
        if refused is not None:
            return refused
        connection = http.client.HTTPConnection(host)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            body = answer.read()
            headers = {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()
        dropped = ("connection", "transfer-encoding", "date", "server")
        return Answer(answer.status, body, {n: v for n, v in headers.items() if n not in dropped})

    return respond
