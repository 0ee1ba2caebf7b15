"""Generations as JSON text and back, with a version. Never pickle.

What is read may come from a file that someone was sent. Reading builds plain values, and of classes only
those that were registered here, from fields that the registered function knows by name. It imports nothing
that the text names, reads no environment variable and runs nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from llmcache_jupyter.caches.generation import Generation
from llmcache_jupyter.errors import DecodingError, EncodingError

try:
    import orjson
except ImportError:
    _HAS_ORJSON = False
else:
    _HAS_ORJSON = True  # LangChain brings it
    _ONLY_PLAIN = (
        orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
    )

VERSION = 1
MAX_DEPTH = 100
MAX_LENGTH = 32 * 2**20

Fields = dict[str, Any]
Take = Callable[[Any], Fields]
Build = Callable[[Fields], Any]

# of these classes themselves: an enumeration's member is an int or a str as well
_PLAIN = frozenset((str, int, bool, type(None)))

# How text begins that orjson wrote. No other is read by it: a whole number of 65 bits would become a float
_QUICK = '{"generations":'

_takes: dict[str, Take] = {}
_builds: dict[str, Build] = {}


def register(name: str, take: Take, build: Build) -> None:
    """Teach the codec a class of generations.

    - `name`: what the text calls it: `class_name` of its objects.
    - `take`: an object's fields, as values that `plain` lets through or refuses.
    - `build`: the object, of fields that may be hostile; whatever it raises is a DecodingError to the reader.
    """
    _takes[name] = take
    _builds[name] = build


def encode(generations: Sequence[Any]) -> str:
    """The generations as one line of JSON text.

    - It holds no lone surrogate, whatever the answers hold.

    Raises:
        EncodingError: one is of a class that was not registered, or holds a value that JSON cannot.
    """
    taken = _taken(generations)
    text = _quick_dump(taken) or _dump(taken)
    if len(text) > MAX_LENGTH:
        raise EncodingError(f"an answer of {len(text):,} characters is too long for a store ({MAX_LENGTH:,})")
    return text


def decode(text: str) -> list[Any]:
    """The generations of text that `encode` wrote.

    Raises:
        DecodingError: it is no such text, is of a newer version, or names a class that was not registered.
    """
    document = _load(text)
    if not isinstance(document, dict):
        raise DecodingError("it is no JSON object")
    version = document.get("v")
    if type(version) is not int or version != VERSION:
        raise DecodingError(f"it is in format {str(version)[:20]}, and this version reads format {VERSION}")
    return built(document.get("generations"))


def coded(generations: Sequence[Any]) -> list[Fields]:
    """The generations as values that JSON can hold.

    Raises:
        EncodingError: one is of a class that was not registered, or holds a value that JSON cannot.
    """
    return [plain(fields) for fields in _taken(generations)]


def built(values: Any) -> list[Any]:
    """The generations of values that `coded` made, of JSON that `check_depth` let through.

    Raises:
        DecodingError: they are no such values, or name a class that was not registered.
    """
    if not isinstance(values, list) or not values:
        raise DecodingError("it holds no generations")
    return [_build(fields) for fields in values]


def class_name(value: Any) -> str:
    """How the text calls an object's class. A subclass is another class."""
    return f"{type(value).__module__}.{type(value).__qualname__}"


def plain(value: Any, depth: int = 0) -> Any:
    """`value` as JSON text can hold it, so that what is read is equal to it.

    Raises:
        EncodingError: there is no such text. The message names the type.
    """
    if type(value) in _PLAIN:
        return value
    if depth > MAX_DEPTH:
        raise EncodingError(f"an answer nested deeper than {MAX_DEPTH} levels cannot be written to a store")
    if type(value) is list:
        return [plain(part, depth + 1) for part in value]
    if type(value) is dict and all(type(name) is str for name in value):
        return {name: plain(part, depth + 1) for name, part in value.items()}
    return _plain_other(value, depth)


def _plain_other(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if type(value) is dict and all(isinstance(name, str) for name in value):
        return plain({str.__str__(name): part for name, part in value.items()}, depth)
    shown = f"the number {value}" if isinstance(value, float) else f"a value of type {class_name(value)}"
    raise EncodingError(f"{shown} inside an answer cannot be written to a store")


def _taken(generations: Sequence[Any]) -> list[Fields]:
    values = []
    for generation in generations:
        name = class_name(generation)
        if name not in _takes:
            raise EncodingError(f"an answer of type {name} cannot be written to a store")
        values.append({"type": name, **_takes[name](generation)})
    return values


def _quick_dump(taken: list[Fields]) -> str | None:
    """The text of almost every answer, in a fifth of the time; None where it would not come back equal."""
    if not _HAS_ORJSON:
        return None
    document = {"generations": taken, "v": VERSION}
    try:
        text = orjson.dumps(document, option=_ONLY_PLAIN).decode()
        return text if _load(text) == document else None
    except (TypeError, DecodingError, RecursionError):
        return None


def _dump(taken: list[Fields]) -> str:
    document = {"v": VERSION, "generations": [plain(fields) for fields in taken]}
    try:
        return json.dumps(document, separators=(",", ":"))  # only an escape can hold a lone surrogate
    except ValueError as error:  # an int of thousands of digits
        raise EncodingError(f"an answer cannot be written to a store: {error}") from None


def _load(text: str) -> Any:
    if len(text) > MAX_LENGTH:
        raise DecodingError(f"{len(text):,} characters are too many for an answer ({MAX_LENGTH:,})")
    try:
        document = orjson.loads(text) if _HAS_ORJSON and text.startswith(_QUICK) else _decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise DecodingError(f"it is no JSON: {error}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH:  # else it cannot be too deep
        check_depth(document)
    return document


def check_depth(document: Any) -> None:
    """Raises DecodingError where JSON values are nested deeper than an answer may be."""
    level, depth = [document], 0
    while level:
        # an answer's own fields are some levels deep: what may be written can be read
        if depth > MAX_DEPTH + 5:
            raise DecodingError(f"it is nested deeper than {MAX_DEPTH} levels")
        inside = (part.values() if isinstance(part, dict) else part for part in level)
        level = [part for parts in inside for part in parts if isinstance(part, dict | list)]
        depth += 1


def no_number(name: str) -> NoReturn:
    """A parser's `parse_constant`: raises ValueError for NaN and Infinity."""
    raise ValueError(f"{name} is no number of JSON's")


def finite(digits: str) -> float:
    """A parser's `parse_float`: raises ValueError for what is infinite as a float."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large")
    return number


_decoder = json.JSONDecoder(parse_constant=no_number, parse_float=finite)


def _build(fields: Any) -> Any:
    name = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(name, str) or name not in _builds:
        raise DecodingError(f"{str(name)[:80]!r} is no type of answer that can be read")
    try:
        return _builds[name](fields)
    except DecodingError:
        raise
    except Exception as error:
        raise DecodingError(f"it is no {name} ({type(error).__name__})") from error


def _take_generation(generation: Generation) -> Fields:
    return {"text": generation.text, "generation_info": generation.generation_info}


def _build_generation(fields: Fields) -> Generation:
    text, info = fields["text"], fields["generation_info"]
    if not isinstance(text, str) or not isinstance(info, dict | None):
        raise DecodingError("it is no Generation: its text is no text, or its generation_info no object")
    return Generation(text, info)


register("llmcache_jupyter.caches.generation.Generation", _take_generation, _build_generation)
