"""What a model's configuration string should say, where LangChain's says too little or something old.

LangChain's llm_string tells some models apart badly, so that they would get each other's answers:

- A model that LangChain cannot write down is only `[('_type', 'mine'), ('stop', None)]`, whatever its fields
  are; the `OpenAI` completion class leaves out the server's address.
- The arguments of a call are left out of a text model's.
- A model is written down at its first call, and that is kept: `model.temperature = 1` after it, or a copy by
  `model_copy`, has the string of before.
- A class that a cell defines anew, or whose module beside the notebook was edited, has the same name.
- An object among the arguments of a call is written as its address, which another object may have later.
"""

from __future__ import annotations

import ast
import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from operator import itemgetter
from types import FrameType
from typing import Any
from weakref import ref

from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.clients.langchain_model import (
    asking,
    is_serialisable,
    llm_string_head,
    private_settings,
    serialised,
    set_fields,
    settings,
    unwritten_address,
)
from llmcache_jupyter.session.description import Code, Description, changes_itself, class_name, code_of
from llmcache_jupyter.session.events import logger
from llmcache_jupyter.session.keys import with_pairs
from llmcache_jupyter.session.traps import ADDRESS, Traps

_PAIR_NAME = re.compile(r"[\[ ]\('(\w+)', ")

_MAX_HELD = 1000
"""Arguments with an address in them that are kept, so that no other object gets that address."""


class AskingModels:
    """The models that ask a cache, each with what its configuration string should be.

    - The same model, made again by the same code, is described by the same string, in any kernel. Where that
      cannot be, by one of its own, in this kernel alone.
    - `traps`: is told what LangChain's string leaves out.
    - `kernel`: what stands for this kernel and no other.
    """

    def __init__(self, traps: Traps, *, kernel: str | None = None) -> None:
        self._traps = traps
        self._kernel = kernel or os.urandom(6).hex()
        self._models: dict[int, _Model] = {}
        self._volatile: dict[str, set[str]] = {}
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._objects = count(1)
        self._lock = new_lock()

    def llm_string(self, given: str, caller: FrameType | None) -> str:
        """What describes the model that is asking, made of LangChain's `given` text for it.

        - `caller`: the frame that called the cache. Where no model of LangChain's asks there, it is `given`.
        """
        who = asking(caller)
        if who is None:
            return given
        model, arguments = who
        try:
            told = self._of(model).llm_string(given, arguments, self._traps)
        except Exception:  # a model that cannot be looked at: better a miss than another one's answer
            logger.exception("%s cannot be described", class_name(type(model)))
            return with_pairs(given, {"kernel": self._name_object()})
        return self._bound_to_kernel(told, arguments) if " at 0x" in told and ADDRESS.search(told) else told

    def answered(self, caller: FrameType | None) -> None:
        """Note that the model has answered: what this changed of the model is not its configuration."""
        who = asking(caller)
        known = None if who is None else self._models.get(id(who[0]))
        if known is not None and not known.serialisable:
            try:
                known.note_changes()
            except Exception:  # it was described before: then it is another one at the next call
                logger.exception("%s cannot be described", class_name(type(known.ref())))

    def _of(self, model: Any) -> _Model:
        known = self._models.get(id(model))
        if known is None or known.ref() is not model:
            key = id(model)
            volatile = self._volatile.setdefault(class_name(type(model)), set())
            known = _Model(model, lambda _: self._models.pop(key, None), self._name_object, volatile)
            self._models[key] = known
        return known

    def _name_object(self) -> str:
        return f"{self._kernel}-{next(self._objects)}"

    def _bound_to_kernel(self, told: str, arguments: dict[str, Any]) -> str:
        with self._lock:
            self._held[told] = arguments
            if len(self._held) > _MAX_HELD:
                self._held.popitem(last=False)
        return with_pairs(told, {"kernel": self._kernel})


class _Model:
    """One model object: its beginning of an llm_string, made anew when its fields change."""

    def __init__(
        self,
        model: Any,
        forget: Callable[[Any], object],
        name_object: Callable[[], str],
        volatile: set[str],
    ) -> None:
        self.ref = ref(model, forget)
        self.serialisable = is_serialisable(model)
        self._is_langchains = type(model).__module__.startswith("langchain") and not code_of(type(model))
        self._name_object = name_object
        self._volatile = volatile
        self._objects: dict[int, tuple[Any, str]] = {}
        self._described: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._head = ""
        self._written_head = ""
        self._fields: Any = None
        self._seen: Any = None
        self._orders: list[list[str]] = []
        self._private: dict[str, Any] = {}
        self._code: Code | None = None

    def llm_string(self, given: str, arguments: Mapping[str, Any], traps: Traps) -> str:
        """What `given`, LangChain's text for a call of this model with these arguments, should be."""
        if not self.serialisable:
            self._head = self._described_head()
        elif self._fields is None or not self._is_as_seen(self.ref()):
            self._refresh()
        if given.startswith(self._head):
            return given
        if not given.startswith('{"'):
            self._tell_unidentified(given, arguments, traps)
            return with_pairs(self._head + given, self._description().of_names(arguments))
        if not given.startswith(self._written_head):
            self._tell_changed(given, traps)
        return self._head + given[end_of_head(given) :]

    def note_changes(self) -> None:
        """Find the fields that the model changes itself. From here on they count as they were at first."""
        now = self._describe(code_of(type(self.ref())))
        for name in {*self._described, *now}:
            if now.get(name) != self._described.get(name) and changes_itself(self.ref(), name):
                self._volatile.add(name)

    def _refresh(self) -> None:
        model = self.ref()
        now = set_fields(model)
        self._fields = itemgetter(*now) if len(now) > 1 else lambda fields: tuple(fields.get(n) for n in now)
        self._seen = tuple(map(_copied, now.values()))
        self._orders = _orders(now)
        self._private = _copied(private_settings(model))
        self._code = code_of(type(model))
        written = serialised(model)
        self._written_head = llm_string_head(written)
        self._head = llm_string_head(self._completed(written, model))

    def _is_as_seen(self, model: Any) -> bool:
        try:
            seen = self._fields(vars(model))
            if seen != self._seen or (self._orders and _orders(seen) != self._orders):
                return False
            if self._is_langchains:
                return True
            return code_of(type(model)) == self._code and private_settings(model) == self._private
        except Exception:  # a field was deleted, or cannot be compared
            return False

    def _completed(self, written: dict[str, Any], model: Any) -> dict[str, Any]:
        """What LangChain wrote, with what it could not write, and with the user's own code."""
        fields = dict(written.get("kwargs", {}))
        for name, value in fields.items():
            if '"not_implemented"' in json.dumps(value):
                fields[name] = self._description().of(getattr(model, name, None))
        if address := unwritten_address(model):
            fields["openai_api_base"] = address
        written = {**written, "kwargs": fields}
        if self._code:
            written["code"] = self._code
        if any(order != sorted(order) for order in self._orders):
            written["order"] = self._orders
        if own := private_settings(model):
            written["private"] = self._description().of_names(own)
        return written

    def _described_head(self) -> str:
        model = self.ref()
        cls = type(model)
        code = code_of(cls)
        described = self._describe(code)
        self._first = self._first or described
        self._described = described
        told = {name: value for name, value in described.items() if name not in self._volatile}
        told |= {name: self._first[name] for name in self._volatile if name in self._first}
        written = {
            "id": [*cls.__module__.split("."), cls.__qualname__],
            "kwargs": told,
            "name": cls.__qualname__,
            "type": "described",
        }
        if code:
            written["code"] = code
        return llm_string_head(written)

    def _describe(self, code: Code | None) -> dict[str, Any]:
        """The fields that say something, described: with code, all; without, those that aren't defaults."""
        model = self.ref()
        own_defaults = {} if code else _defaults(type(model))
        description = self._description()
        return {
            name: description.of(value)
            for name, value in settings(model)
            if name not in own_defaults or not _is_same(own_defaults[name], value)
        }

    def _description(self) -> Description:
        return Description(self._object_name)

    def _object_name(self, value: Any) -> str:
        """A name for this object, in this kernel alone. The object is kept, so that none takes its place."""
        known = self._objects.get(id(value))
        if known is None:
            if len(self._objects) > 100:  # a model that makes its parts anew at every look
                self._objects.clear()
            known = self._objects[id(value)] = value, self._name_object()
        return known[1]

    def _tell_changed(self, given: str, traps: Traps) -> None:
        if names := changed_fields(given, self._written_head):
            traps.changed(self.ref(), names)

    def _tell_unidentified(self, given: str, arguments: Mapping[str, Any], traps: Traps) -> None:
        if '"<object>"' in self._head:
            traps.unstable(self.ref())
        elif identifies_nothing(given, arguments):
            traps.unidentified(self.ref())


@lru_cache(maxsize=256)
def _names(llm_string: str) -> frozenset[str]:
    try:
        return frozenset(dict(ast.literal_eval(llm_string)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return frozenset(_PAIR_NAME.findall(llm_string))


def identifies_nothing(llm_string: str, arguments: Mapping[str, Any]) -> bool:
    """Whether this text of LangChain's for a call holds the model's kind, and nothing else of it."""
    return _names(llm_string) <= {"_type", "stop", *arguments}


def changed_fields(old: str, new: str) -> list[str]:
    """The names of the fields in which two serialised models differ."""
    before, after = (json.JSONDecoder().raw_decode(text)[0].get("kwargs", {}) for text in (old, new))
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


@lru_cache(maxsize=256)
def end_of_head(llm_string: str) -> int:
    """Where the serialised model of an llm_string ends, and its list of arguments begins."""
    try:
        end = json.JSONDecoder().raw_decode(llm_string)[1]
    except ValueError:
        return len(llm_string)
    return end + len("---") if llm_string.startswith("---", end) else end


def _copied(value: Any) -> Any:
    """The value, and what may change in place as a copy."""
    if type(value) is dict:
        return {name: _copied(part) for name, part in value.items()}
    if type(value) is list:
        return [_copied(part) for part in value]
    return value


def _orders(value: Any) -> list[list[str]]:
    """The order of properties in each JSON schema of the value: it is sent, and the answer follows it."""
    if isinstance(value, list | tuple):
        return [order for part in value for order in _orders(part)]
    if not isinstance(value, dict):
        return []
    parts = [value[name] for name in sorted(value, key=str)]
    own = value.get("properties")
    return [*([list(own)] if isinstance(own, dict) else []), *_orders(parts)]


def _defaults(cls: Any) -> dict[str, Any]:
    return {name: field.default for name, field in cls.model_fields.items()}


def _is_same(default: Any, value: Any) -> bool:
    try:
        return type(default) is type(value) and bool(default == value)
    except Exception:
        return False
