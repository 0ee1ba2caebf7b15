"""What the kernel and the JupyterLab extension tell each other; labextension/src/protocol.ts is its twin.

Two comms carry it, for one that the kernel pushes on is no longer answered while a cell runs:

- EVENTS: the kernel opens it, and pushes its whole state, first with the opening. The front end is silent.
- QUERIES: the front end opens it, and the kernel only answers: each request once, with its id and kind.

Each message names VERSION. tests/protocol/ has an example of each, which the tests of both sides read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NotRequired, TypedDict, get_args

VERSION = 1
EVENTS = "llmcache-events"
QUERIES = "llmcache-queries"

Kind = Literal[
    "state", "entries", "models", "entry", "cell", "missed", "why", "delete", "clear", "switch", "plan"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
ErrorCode = Literal["version", "request", "refused", "failed"]


class CellCounts(TypedDict):
    """What the latest run of a cell led to. `failed`: misses of a replay, or of a store that fails."""

    label: str
    hits: int
    misses: int
    failed: int
    seconds_saved: float | None


class State(TypedDict):
    """The session and its cells. Unknown is None.

    - `changes` grows whenever there are other entries than before.
    - `store`: what the store behind the memory is called; `shared`: whether others use it too.
    - `failing`: whether the store fails. `notes`: what the user should know, a sentence each.
    - `cells`: by cell id, those whose latest run called a model.
    """

    active: bool
    mode: str
    entries: int | None
    maxsize: int | None
    hits: int
    misses: int
    seconds_saved: float | None
    tokens_saved: int | None
    store: str | None
    shared: bool
    failing: bool
    notes: list[str]
    changes: int
    cells: dict[str, CellCounts]


class StateMessage(TypedDict):
    """What the kernel pushes. A field `state` would make nbclient take it for a widget's."""

    version: int
    kind: Literal["state"]
    session: State


class Row(TypedDict):
    """An entry in a list: its texts on one short line. Times are seconds, moments since the epoch.

    - `cell`: the id of the cell that stored it; `label`: how the notebook shows that cell.
    - `stored`: None where nothing is stored, and the row is a call that missed.
    """

    id: str
    prompt: str
    answer: str
    model: str | None
    cell: str | None
    label: str | None
    stored: float | None
    last_used: float | None
    took: float | None
    tokens: int | None
    hits: int


class Text(TypedDict):
    """A text, and how many more characters of it there are."""

    text: str
    left: int


class Said(Text):
    """A message of the prompt. `role` is None where it isn't a chat."""

    role: str | None


class Answer(Text):
    """One generation: its text and its tool calls, a name and its arguments as JSON each."""

    calls: list[tuple[str, str]]


class EntryInFull(Row):
    """An entry with whole texts. `parameters`: the model's, secrets redacted."""

    messages: list[Said]
    answers: list[Answer]
    parameters: dict[str, str]


class PageOfRows(TypedDict):
    """Some rows; `total` is how many were found."""

    rows: list[Row]
    total: int


class CellEntry(TypedDict):
    """What calls of a cell led to, those for one entry together. `row` is None where no more is known."""

    id: str
    hits: int
    misses: int
    failed: int
    row: Row | None


class Changed(TypedDict):
    """A difference in words; and what was stored and what was asked, where the words don't hold them."""

    words: str
    stored: str | None
    asked: str | None


class Explained(TypedDict):
    """Why a call was not a hit, as `%llmcache why` says it.

    - `headline`: which call it is about. `reason`: a sentence.
    - `nearest`: the id of the entry that differs from the call in `differences`, the first of them.
    - `asides`, `warnings`: what else the user should know, a sentence each.
    """

    headline: str
    reason: str
    nearest: str | None
    differences: list[Changed]
    asides: list[str]
    warnings: list[str]


class Reply(TypedDict):
    """The answer to a request: `result` or `error`."""

    version: int
    id: int | None
    kind: str | None
    result: NotRequired[Any]
    error: NotRequired[ReplyError]


class ReplyError(TypedDict):
    """Why there is no result: another version, no such request, a user's mistake, or a failure."""

    code: ErrorCode
    message: str


class ProtocolError(Exception):
    """A message that cannot be understood."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code


class Request:
    """A request of the front end: its kind, and its fields, each checked as it is read.

    Raises:
        ProtocolError: another version, or no request at all.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        check_version(data.get("version"))
        kind = data.get("kind")
        if kind not in KINDS:
            raise ProtocolError("request", f"There is no request {kind!r}, only {', '.join(KINDS)}.")
        self.kind: Kind = kind
        self._data = data

    def text(self, name: str) -> str:
        return str(self._field(name, str))

    def text_or_none(self, name: str) -> str | None:
        return None if self._data.get(name) is None else self.text(name)

    def flag(self, name: str) -> bool:
        return bool(self._field(name, bool))

    def number(self, name: str) -> int:
        value = self._field(name, int)
        if isinstance(value, bool) or value < 0:
            raise ProtocolError("request", f"`{name}` of `{self.kind}` cannot be {value!r}.")
        return int(value)

    def _field(self, name: str, kind: type) -> Any:
        value = self._data.get(name)
        if not isinstance(value, kind):
            raise ProtocolError(
                "request", f"`{name}` of `{self.kind}` is {value!r}, which is no {kind.__name__}."
            )
        return value


def check_version(version: object) -> None:
    """Nothing, where the front end speaks our version.

    Raises:
        ProtocolError: it speaks another one; the message tells which side to upgrade.
    """
    if version == VERSION:
        return
    is_newer = isinstance(version, int) and version > VERSION
    side = "the kernel's environment" if is_newer else "JupyterLab's environment"
    then = "restart the kernel" if is_newer else "reload the page"
    raise ProtocolError(
        "version",
        f"The kernel's llmcache-jupyter speaks protocol {VERSION}, JupyterLab's speaks {version!r}. "
        f"Upgrade it in {side} (`pip install -U llmcache-jupyter`) and {then}.",
    )


def state_message(state: State) -> StateMessage:
    """What the kernel pushes."""
    return {"version": VERSION, "kind": "state", "session": state}


def reply(data: Mapping[str, Any], result: object) -> Reply:
    """The answer to the request `data`."""
    return {"version": VERSION, "id": data.get("id"), "kind": data.get("kind"), "result": result}


def error_reply(data: Mapping[str, Any], code: ErrorCode, message: str) -> Reply:
    """The answer to a request `data` that has no result."""
    error = ReplyError(code=code, message=message)
    return {"version": VERSION, "id": data.get("id"), "kind": data.get("kind"), "error": error}
