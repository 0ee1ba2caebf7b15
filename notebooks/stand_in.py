"""A small OpenAI-compatible server on loopback, for notebooks and tests that have no API key.

    with StandIn() as server:
        model = ChatOpenAI(model="stand-in", base_url=server.base_url, api_key="unused")
        model.invoke("What is the capital of France?")  # "Paris."
        server.requests  # 1

A notebook says `server = serve()` instead, in a cell that can be run again.

Answers follow from the conversation alone (see stand_in_answers.py). Ids, tool call ids and times differ
from call to call, as the real service's do. "Say nothing." is answered with an empty text, "please fail" with
status 500.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import socket
import socketserver
import sys
import threading
import time
import urllib.request
import uuid
from collections import deque
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

from stand_in_answers import ExactAnswer, Json, Refusal, Reply, chat_reply, text_of, text_reply

HOST = "127.0.0.1"
DEFAULT_PORT = 28765
"""Fixed, because LangChain's cache keys hold the base_url with its port."""


class StandIn:
    """A model service of one's own: started and stopped by `with`, or by start() and stop().

    - `port`: where it listens, 0 for any free port. It keeps its port over stop() and start().
    - `delay`: seconds that each model call takes; can be set while it runs.
    - `answers`: exact answers by prompt, as a mapping or as a function that returns None for "no opinion".
      They win over everything else the server would say; can be set while it runs.
    """

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        *,
        delay: float = 0.0,
        answers: Mapping[str, str] | ExactAnswer | None = None,
    ) -> None:
        self.port = port
        self.delay = delay
        self.answers: Mapping[str, str] | ExactAnswer = {} if answers is None else answers
        self._lock = threading.Lock()
        self._requests = 0
        self._log: deque[Json] = deque(maxlen=200)
        self._ids = itertools.count(1)
        self._stopping = threading.Event()
        self._server: _Server | None = None

    @property
    def base_url(self) -> str:
        """What a client takes as its base_url."""
        if not self.port:
            raise RuntimeError("The port is not known yet: call start() first.")
        return f"http://{HOST}:{self.port}/v1"

    @property
    def requests(self) -> int:
        """How many model calls were answered, in all or since reset(); failed ones don't count."""
        with self._lock:
            return self._requests

    @property
    def log(self) -> list[Json]:
        """The bodies of the last 200 model calls, oldest first, failed ones included."""
        with self._lock:
            return list(self._log)

    def reset(self) -> None:
        """Sets the count to 0 and empties the log."""
        with self._lock:
            self._requests = 0
            self._log.clear()

    def start(self) -> StandIn:
        """This server, listening; OSError if another program has the port."""
        if self._server is None:
            try:
                self._server = _Server(self)
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"Port {self.port} cannot be used ({error.strerror}). If another stand-in is running, "
                    "stop() it; or take any free port with StandIn(port=0).",
                ) from None
            self.port = self._server.server_address[1]
            self._stopping = threading.Event()
            serve = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
            serve.start()
        return self

    def stop(self) -> None:
        """Frees the port and ends open connections; calls in progress are dropped."""
        if self._server is not None:
            self._stopping.set()
            self._server.close()
            self._server = None

    def __enter__(self) -> StandIn:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def respond(self, path: str, body: Json) -> Json:
        """The complete response to a request, after the delay; Refusal where there is none."""
        if path not in SERVICES:
            raise Refusal(404, f"Unknown path {path}: this server has {', '.join(SERVICES)} and /v1/models.")
        prefix, kind, choices_for = SERVICES[path]
        stopping = self._stopping  # start() makes a new one
        with self._lock:
            self._log.append(body)
            number = next(self._ids)
        if not body.get("model"):
            raise Refusal(400, "You must provide a model parameter.")
        exact = self.answers.get if isinstance(self.answers, Mapping) else self.answers
        choices, usage = choices_for(body, exact)
        if stopping.wait(self.delay):
            raise ConnectionAbortedError("The server was stopped.")
        with self._lock:
            self._requests += 1
        return {
            "id": f"{prefix}-{number}",
            "object": kind,
            "created": int(time.time()),
            "model": body["model"],
            "system_fingerprint": "fp_stand_in",
            "choices": choices,
            "usage": usage,
        }


def serve(port: int = DEFAULT_PORT, *, delay: float = 0.0) -> StandIn:
    """A notebook's stand-in, listening, its count at 0; the same one when the cell is run again.

    - If another program has `port`, another notebook's kernel for example, it takes any free one.
    - Clients of this process reach it without the proxy that the environment may name.
    """
    _bypass_proxies()
    server = _served.setdefault(port, StandIn(port))
    server.delay = delay
    server.reset()
    try:
        return server.start()
    except OSError:
        server.port = 0
        return server.start()


_served: dict[int, StandIn] = {}


def _bypass_proxies() -> None:
    direct = urllib.request.getproxies_environment().get("no", "").split(",")
    if HOST not in direct:
        for name in ("no_proxy", "NO_PROXY"):
            os.environ[name] = ",".join(filter(None, [*direct, HOST]))


# --- responses


def _chat_choices(body: Json, exact: ExactAnswer) -> tuple[list[Json], Json]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        raise Refusal(400, "'messages' must be a non-empty list of objects.")
    reply = chat_reply(body, exact)
    choices = [_chat_choice(reply, index, body) for index in range(body.get("n") or 1)]
    called = json.dumps(reply.calls) if reply.calls else ""
    written = [choice["message"]["content"] or called for choice in choices]
    return choices, _usage([text_of(message) for message in messages], written)


def _chat_choice(reply: Reply, index: int, body: Json) -> Json:
    message: Json = {"role": "assistant", "content": _nth_text(reply, index, body), "refusal": None}
    if reply.calls:
        message.update(content=None, tool_calls=[_tool_call(*call) for call in reply.calls])
    reason = "tool_calls" if reply.calls else "stop"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def _tool_call(name: str, arguments: Json) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _text_choices(body: Json, exact: ExactAnswer) -> tuple[list[Json], Json]:
    prompts = [body["prompt"]] if isinstance(body.get("prompt"), str) else body.get("prompt")
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise Refusal(400, "'prompt' must be a string or a list of strings.")
    replies = [text_reply(prompt, exact) for prompt in prompts]
    texts = [_nth_text(reply, index, body) for reply in replies for index in range(body.get("n") or 1)]
    choice: Json = {"logprobs": None, "finish_reason": "stop"}
    return [{"index": i, "text": text, **choice} for i, text in enumerate(texts)], _usage(prompts, texts)


SERVICES = {
    "/v1/chat/completions": ("chatcmpl", "chat.completion", _chat_choices),
    "/v1/completions": ("cmpl", "text_completion", _text_choices),
}


def _nth_text(reply: Reply, index: int, body: Json) -> str:
    """The text of one of several choices: each differs, except where it is data or empty."""
    varied = index > 0 and reply.text and not reply.is_data
    text = f"{reply.text} (answer {index + 1})" if varied else reply.text
    stops = body.get("stop") or []
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.partition(stop)[0]
    return text


def _usage(read: list[str], written: list[str]) -> Json:
    """Token figures: a word or a punctuation mark is a token."""
    prompt, completion = (len(re.findall(r"\w+|[^\w\s]", "\n".join(texts))) for texts in (read, written))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _chunks(response: Json, with_usage: bool) -> Iterator[Json]:
    """The response in the pieces in which a stream sends it, word by word."""
    chat = response["object"] == "chat.completion"
    head = {key: value for key, value in response.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk" if chat else "text_completion"
    for choice in response["choices"]:
        pieces = list(_deltas(choice["message"]) if chat else _texts(choice["text"]))
        for number, piece in enumerate(pieces, start=1):
            reason = choice["finish_reason"] if number == len(pieces) else None
            yield {**head, "choices": [{"index": choice["index"], **piece, "finish_reason": reason}]}
    if with_usage:
        yield {**head, "choices": [], "usage": response["usage"]}


def _deltas(message: Json) -> Iterator[Json]:
    yield {"delta": {"role": "assistant", "content": ""}}
    for index, call in enumerate(message.get("tool_calls", [])):
        yield {"delta": {"tool_calls": [{"index": index, **call}]}}
    for word in _words(message["content"] or ""):
        yield {"delta": {"content": word}}
    yield {"delta": {}}


def _texts(text: str) -> Iterator[Json]:
    yield from ({"text": word} for word in [*_words(text), ""])


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", text)


# --- HTTP


class _Server(socketserver.ThreadingTCPServer):
    """The listening socket and its open connections."""

    allow_reuse_address = os.name != "nt"  # there it would let two servers share the port
    allow_reuse_port = False
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self._connections: set[Any] = set()
        super().__init__((HOST, stand_in.port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that went away is no news
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Ends the listening and the kept-alive connections, which would be answered otherwise."""
        self.shutdown()
        self.server_close()
        for connection in self._connections.copy():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _parsed(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise Refusal(400, f"The request body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(400, "The request body must be a JSON object.")
    return body


class _Handler(BaseHTTPRequestHandler):
    """One connection: JSON in, JSON or server-sent events out."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two packets: 40 ms a call otherwise

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: a notebook's output is not the place for an access log."""

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            model = {"id": "stand-in", "object": "model", "created": 0, "owned_by": "stand-in"}
            self._send(200, {"object": "list", "data": [model]})
        else:
            self._send_error(404, f"Unknown path {self.path}.")

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = _parsed(raw)
            response = self.server.stand_in.respond(self.path, body)
        except Refusal as refusal:
            self._send_error(refusal.status, str(refusal))
        except ConnectionError:
            raise
        except Exception as error:  # whatever went wrong, the client gets an answer
            self._send_error(500, f"{type(error).__name__}: {error}")
        else:
            if body.get("stream"):
                usage = bool((body.get("stream_options") or {}).get("include_usage"))
                self._send_stream(_chunks(response, usage))
            else:
                self._send(200, response)

    def _send_error(self, status: int, message: str) -> None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        self._send(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})

    def _send(self, status: int, content: Json) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _send_stream(self, chunks: Iterator[Json]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text in itertools.chain(map(json.dumps, chunks), ["[DONE]"]):
            event = f"data: {text}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")
