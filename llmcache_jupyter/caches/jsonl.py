"""An entry as one line of JSON text, to be handed on, compared and kept in git.

    {"llmcache": 1, "model": "gpt-5", "asked": "The capital of France?", "answer": "Paris.",
     "stored": "2026-01-31T12:00:00.000000Z", "took": 0.8, "tokens": 21, "cell": "[7]",
     "prompt": ..., "llm_string": ..., "generations": [...]}

- `prompt` and `llm_string` are the key. `model`, `asked` and `answer` are for who reads the file: the
  beginnings of what the key and the generations say. Reading an entry does not look at them.
- What changes by use is not in it: hits, and when the last one was.
- `"redacted": true` says that a credential was taken out, and that this is no longer the entry it was.
- A line is hostile until it is read. Reading builds what `codec` builds, and nothing else.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from llmcache_jupyter.caches import codec
from llmcache_jupyter.caches.credentials import without_credentials
from llmcache_jupyter.caches.entry import Entry
from llmcache_jupyter.caches.generation import answer_text
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.errors import DecodingError, EncodingError

VERSION = 1
MAX_LINE = 64 * 2**20
"""Bytes."""

_BEGINNING = 200
# what ends a line for some reader, turns text around, or is no character by itself
_UNREADABLE = re.compile(
    "[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


class Line(NamedTuple):
    """A line that was read: its entry, and whether a credential was taken out of it."""

    entry: Entry
    is_redacted: bool


class Text(NamedTuple):
    """A line to be written, without its end, and whether a credential was taken out of it."""

    text: str
    is_redacted: bool


def line_of(entry: Entry) -> Text:
    """The entry as a line. The same entry is the same line, however often it was hit or read.

    Raises:
        EncodingError: its answer cannot be written; the message names what is in the way.
    """
    generations = codec.coded(entry.generations)
    clean = without_credentials(generations)
    prompt, llm_string = _prompt_without(entry.key[0]), without_credentials(entry.key[1])
    is_redacted = (prompt, llm_string) != entry.key or clean != generations
    if is_redacted:
        shown = replace(entry, key=(prompt, llm_string), generations=codec.built(clean))
    else:
        shown = entry
    fields = {
        "llmcache": VERSION,
        "model": shown.model,
        "asked": _beginning(asked(prompt)),
        "answer": _beginning(answer_text(shown.generations)),
        "redacted": is_redacted or None,
        "stored": _date(entry.stored),
        "took": None if entry.took is None else round(entry.took, 6),
        "tokens": entry.tokens,
        "cell": entry.cell,
        "prompt": prompt,
        "llm_string": llm_string,
        "generations": clean,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    try:
        text = json.dumps(told, ensure_ascii=False, allow_nan=False)
    except ValueError as error:  # an int of thousands of digits
        raise EncodingError(f"an answer cannot be written to a file: {error}") from None
    text = _UNREADABLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    if len(text.encode()) > MAX_LINE:
        raise EncodingError(f"an entry of {len(text):,} characters is too long for a file")
    return Text(text, is_redacted)


def read_line(line: bytes, *, longest: int = MAX_LINE) -> Line:
    """What a line of `longest` bytes at most holds. Its end may be there or not, as may a byte order mark.

    Raises:
        DecodingError: it is no entry that this version can read; the message says why.
    """
    if len(line) > longest + 2:
        raise DecodingError(f"it is longer than {longest:,} bytes")
    fields = _load(line)
    version = fields.get("llmcache")
    if type(version) is not int:
        raise DecodingError("it is no line of `%llmcache save`")
    if version != VERSION:
        raise DecodingError(
            f"it is in format {str(version)[:20]}, and this version reads format {VERSION}: "
            "pip install --upgrade llmcache-jupyter"
        )
    entry = Entry(
        (_text(fields, "prompt"), _text(fields, "llm_string")),
        codec.built(fields.get("generations")),
        _moment(_text(fields, "stored")),
        took=_number(fields, "took", int, float),
        tokens=_number(fields, "tokens", int),
        cell=None if fields.get("cell") is None else _text(fields, "cell"),
    )
    return Line(entry, fields.get("redacted") is True)


def _prompt_without(prompt: str) -> str:
    """The prompt without credentials; of a chat, of what its messages say."""
    try:
        chat = json.loads(prompt) if prompt.startswith("[{") else None
        clean = without_credentials(chat)
    except (ValueError, RecursionError):
        chat = clean = None
    if clean != chat:
        prompt = json.dumps(clean)
    return prompt if isinstance(chat, list) else str(without_credentials(prompt))


def _beginning(text: str) -> str:
    line = " ".join(text[: 10 * _BEGINNING].split())
    return line if len(line) <= _BEGINNING else line[: _BEGINNING - 1] + "…"


def _date(moment: float) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")[:-6] + "Z"
    except (ValueError, OverflowError, OSError):
        raise EncodingError(f"an entry that was stored at {moment} cannot be written to a file") from None


def _moment(text: str) -> float:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        date = None
    if date is None or date.tzinfo is None or date.timestamp() < 0:
        raise DecodingError(f"its 'stored' is no moment with a time zone: {text[:40]!r}")
    return date.timestamp()


def _load(line: bytes) -> dict[str, Any]:
    try:
        document = _decoder.decode(line.removeprefix(b"\xef\xbb\xbf").decode().strip())
    except UnicodeDecodeError:
        raise DecodingError("it is no UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise DecodingError(
            f"it is no JSON ({error.msg.removesuffix(' at')} at character {error.pos + 1})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise DecodingError(f"it is no JSON that can be read ({error})") from None
    if not isinstance(document, dict):
        raise DecodingError("it is no line of `%llmcache save`")
    codec.check_depth(document)
    return document


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise DecodingError(f"its {name!r} is no text" if name in fields else f"it has no {name!r}")
    return value


def _number(fields: dict[str, Any], name: str, *kinds: type) -> Any:
    value = fields.get(name)
    if value is not None and (type(value) not in kinds or not 0 <= value < 2**63):
        raise DecodingError(f"its {name!r} is no such number: {str(value)[:40]}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:40]!r} is there twice")
    return fields


_decoder = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=codec.finite, parse_constant=codec.no_number
)
