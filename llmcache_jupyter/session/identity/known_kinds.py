"""Objects of well-known kinds: the plain data that stands for one."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from operator import attrgetter, itemgetter, methodcaller
from pathlib import PurePath
from random import Random
from types import MappingProxyType, MethodDescriptorType, ModuleType, SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

from llmcache_jupyter.clients.own_code import is_own

_GETTER = type(vars(namedtuple("_", "part"))["part"])
_CONNECTING = frozenset(
    "aiohttp anthropic boto3 botocore cohere groq grpc httpcore httpx mistralai ollama openai requests"
    " urllib3".split()
)
_SCALARS = frozenset({type(None), bool, int, float, str})
_WRITTEN_IN_FULL = frozenset({"datetime", "decimal", "uuid", "fractions"})
_TEXTS: dict[type, Callable[[Any], str]] = {
    bytes: lambda value: hashlib.blake2b(value, digest_size=8).hexdigest(),
    re.Pattern: lambda value: f"{value.pattern!r} {value.flags}",
    logging.Logger: lambda value: value.name,
    str: str.__str__,
    PurePath: PurePath.as_posix,  # its class is another one on Windows, and in Python 3.13
}


def text_of(value: Any) -> str | None:
    """The text that stands for a value of a simple kind; None where it is of no such kind."""
    for kind, text in _TEXTS.items():
        if isinstance(value, kind):
            return text(value)
    if isinstance(value, int | float | range) or type(value).__module__ in _WRITTEN_IN_FULL:
        return repr(value)
    return None


def is_plain(value: Any) -> bool:
    """Whether it is lists, tuples and dicts of texts and numbers, and of no other class: see its `repr`."""
    kind = type(value)
    if kind is dict:
        return _SCALARS.issuperset(map(type, value)) and is_plain(list(value.values()))
    if kind not in (list, tuple):
        return kind in _SCALARS
    return _SCALARS.issuperset(map(type, value)) or all(map(is_plain, value))


def is_named_tuple(value: Any) -> bool:
    """Whether the value is a tuple whose parts have names, and nothing more."""
    return isinstance(value, tuple) and hasattr(value, "_asdict") and not hasattr(value, "__dict__")


def is_connection(value: Any) -> bool:
    """Whether it is a client of a library's, or a part of one: each call changes what is in it."""
    library = type(value).__module__.partition(".")[0]
    return library in _CONNECTING and not hasattr(type(value), "model_fields")


def _items(value: Any) -> list[Any]:
    return [[*item] for item in value.items()]


def _digest_of_state(value: Random) -> str:
    return hashlib.blake2b(repr(value.getstate()).encode(), digest_size=8).hexdigest()


def _name_of_module(value: ModuleType) -> str:
    if is_own(value.__name__):
        raise ValueError("what is in it may be edited")
    return value.__name__


def _key_of_zone(value: ZoneInfo) -> str:
    if value.key is None:
        raise ValueError("it was made from a file of no name")
    return value.key


CONTENTS: dict[type, Callable[[Any], Any]] = {
    **dict.fromkeys((array, bytearray), list),
    **dict.fromkeys((OrderedDict, Counter), _items),
    **dict.fromkeys(
        (itemgetter, attrgetter, methodcaller, slice, _GETTER), lambda value: list(value.__reduce__())
    ),
    **dict.fromkeys(
        (IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network, complex), str
    ),
    **dict.fromkeys((type(threading.Lock()), type(threading.RLock())), lambda _: None),  # all are alike
    deque: lambda value: [list(value), value.maxlen],
    defaultdict: lambda value: [_items(value), value.default_factory],
    MappingProxyType: dict,
    MethodDescriptorType: lambda value: [value.__objclass__, value.__name__],
    ModuleType: _name_of_module,
    Random: _digest_of_state,
    SimpleNamespace: vars,
    ZoneInfo: _key_of_zone,
}
"""What is in an object of exactly this class: nothing else tells it from others of the class.

- It raises an error where something else does.
"""
