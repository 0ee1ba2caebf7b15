"""What a model is, as the beginning of its llm_string: made from the model object as it is now.

LangChain writes some models down in full, once. Others it cannot: these are described here.
"""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any, NoReturn, Protocol
from weakref import WeakValueDictionary, ref

from llmcache_jupyter.clients.langchain_model import (
    is_calling,
    llm_string_head,
    private_settings,
    proves_caller,
    real_address,
    sent_by_client,
    serialised,
    set_fields,
    settings,
)
from llmcache_jupyter.clients.own_code import is_own
from llmcache_jupyter.session.identity.class_code import changes_itself, code_of
from llmcache_jupyter.session.identity.description import Code, Description, Opaque
from llmcache_jupyter.session.identity.own_changes import OwnChanges

Within = frozenset[int]


class HeadOf(Protocol):
    """What stands for a model that is a part of those `within`; None of what is no model."""

    def __call__(self, value: Any, within: Within) -> str | None: ...


_IMMUTABLE = frozenset({type(None), bool, int, float, str, bytes})
_MOST_OBJECTS = 100
_DEFAULT = {"<default>": ""}


class ModelHead(ABC):
    """One model object. It is not kept alive: `forget` is called at its end.

    - `name_object`: makes a name for an object that no data stands for, in this kernel alone.
    - `head_of`: the head of a model that is a part of this one; None of what is no model.
    - `own_changes`: what the objects that it holds change of themselves.
    """

    def __init__(
        self,
        model: Any,
        forget: Callable[[Any], object],
        name_object: Callable[[], str],
        head_of: HeadOf,
        own_changes: OwnChanges,
    ) -> None:
        self.ref = ref(model, forget)
        self._name_object = name_object
        self._head_of = head_of
        self._own_changes = own_changes
        self._objects: dict[int, tuple[Any, str]] = {}

    @abstractmethod
    def text(self, within: Within = frozenset()) -> str:
        """The head, of the model as it is now. `within`: the ids of the models of which it is a part."""

    @property
    def as_written(self) -> str:
        """The head as LangChain would write it now."""
        return ""

    @abstractmethod
    def sent(self, flight: int) -> None:
        """Note that a call is sent to the model, by this thread or task."""

    @abstractmethod
    def answered(self, flight: int) -> None:
        """Note that the model has answered it: what this changed of the model is not its configuration."""

    def description(self, within: Within = frozenset(), *, is_answered: bool = False) -> Description:
        """Describes what belongs to the model.

        - `is_answered`: as soon as a call is, so that what this changed is known.
        """
        return self._describing(self._named, within, is_answered)

    def _describing(self, opaque: Opaque, within: Within, is_answered: bool) -> Description:
        model = partial(self._head_of, within=within | {id(self.ref())})
        changes = self._own_changes
        return Description(opaque, code_of, model, changes.answered if is_answered else changes.seen)

    def _told_privately(self, within: Within, is_answered: bool = False) -> dict[str, Any]:
        """The private attributes of the user's own classes, described, but for a library's objects."""
        data = self._describing(_refuse, within, is_answered)
        told: dict[str, Any] = {}
        for name, value in private_settings(self.ref()).items():
            try:
                told |= data.of_names({name: value})
            except _NoData:
                if is_own(type(value).__module__):
                    told |= self.description(within, is_answered=is_answered).of_names({name: value})
        return told

    def _named(self, value: Any) -> str:
        """A name for this object. The object is kept, so that none takes its place."""
        known = self._objects.get(id(value))
        if known is None:
            if len(self._objects) > _MOST_OBJECTS:  # a model that makes its parts anew at every look
                self._objects.clear()
            known = self._objects[id(value)] = value, self._name_object()
        return known[1]


class WrittenHead(ModelHead):
    """Of a model that LangChain writes down. It is made anew when the model's fields change."""

    def __init__(self, model: Any, *how: Any) -> None:
        super().__init__(model, *how)
        self._is_langchains = type(model).__module__.startswith("langchain") and not code_of(type(model))
        self._is_plain = False  # no part of it is anything but what LangChain writes down
        self._head: str | None = None
        self._as_written = ""
        self._fields: Callable[[Any], Any] = dict
        self._seen: Any = None
        self._changing: Callable[[Any], Any] = dict
        self._told: str = ""
        self._described: list[str] = []
        self._parts = ""
        self._code: Code | None = None

    @property
    def as_written(self) -> str:
        return self._as_written

    def text(self, within: Within = frozenset()) -> str:
        model = self.ref()
        if self._head is None or not self._is_as_seen(model, within):
            self._head = self._made(model, within)
        return self._head

    def sent(self, flight: int) -> None:
        """Its own fields are looked at as they are: nobody needs to know how many calls are on their way."""

    def answered(self, flight: int) -> None:
        if not self._is_plain:
            self._described_parts(frozenset(), is_answered=True)

    def _made(self, model: Any, within: Within) -> str:
        written = serialised(model)
        self._as_written = llm_string_head(written)
        kwargs = written.get("kwargs", {}).items()
        fields = {name: value for name, value in kwargs if not proves_caller(model, name)}
        self._described = [name for name, value in fields.items() if '"not_implemented"' in json.dumps(value)]
        self._is_plain = self._is_langchains and not self._described
        now = set_fields(model)
        self._look_at_fields(model, [name for name in now if name not in self._described])
        self._code = code_of(type(model))
        described, private = parts = self._described_parts(within)
        self._parts = json.dumps(parts, sort_keys=True)
        fields |= described
        if address := real_address(model):
            fields["openai_api_base"] = address
        fields |= sent_by_client(model)
        orders = _orders(now)
        more = {
            "code": self._code,
            "order": orders if any(order != sorted(order) for order in orders) else None,
            "private": private,
        }
        told = {name: value for name, value in more.items() if value}
        return llm_string_head({**written, "kwargs": fields, **told})

    def _look_at_fields(self, model: Any, names: list[str]) -> None:
        fields = vars(model)
        changing = [name for name in names if _may_change(fields.get(name))]
        self._fields, self._changing = _getter(names), _getter(changing)
        self._seen, self._told = self._fields(fields), repr(self._changing(fields))

    def _described_parts(
        self, within: Within, is_answered: bool = False
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields that LangChain cannot write down, described, and the private attributes."""
        of = self.description(within, is_answered=is_answered).of
        described = {name: of(getattr(self.ref(), name, None)) for name in self._described}
        return described, self._told_privately(within, is_answered)

    def _is_as_seen(self, model: Any, within: Within) -> bool:
        try:
            fields = vars(model)
            # what may change in place is still itself then; the text tells 1 from True, too
            if self._fields(fields) != self._seen or repr(self._changing(fields)) != self._told:
                return False
            if self._is_plain:
                return True
            parts = json.dumps(self._described_parts(within), sort_keys=True)
            return code_of(type(model)) == self._code and parts == self._parts
        except Exception:  # a field was deleted, or cannot be compared
            return False


class DescribedHead(ModelHead):
    """Of a model that LangChain cannot write down: its class, its code, and its fields, described.

    - What its own calls change of it, and nobody else, counts as it was.
    - `volatile`: the names of the fields that calls of this class's models change.
    """

    def __init__(self, model: Any, *how: Any, volatile: set[str]) -> None:
        super().__init__(model, *how)
        self._volatile = volatile
        self._now: dict[str, Any] = {}
        self._counted: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        # weak: of a call that failed nobody tells, and its task holds the error with all its frames
        self._flights: WeakValueDictionary[int, threading.Thread | asyncio.Task[Any]] = WeakValueDictionary()

    def text(self, within: Within = frozenset()) -> str:
        cls = type(self.ref())
        code = code_of(cls)
        is_answering = self._is_answering()
        self._now = now = self._described(code, within, is_answering)
        told = now.copy()
        for name in self._volatile:
            one = now.get(name, _DEFAULT)
            is_changed = one != self._last.get(name, one)
            if name not in self._counted or (is_changed and not is_answering):
                self._counted[name] = one
            self._last[name] = one
            told[name] = self._counted[name]
        written = {
            "id": [*cls.__module__.split("."), cls.__qualname__],
            "kwargs": {name: one for name, one in told.items() if one is not _DEFAULT},
            "name": cls.__qualname__,
            "type": "described",
        }
        if code:
            written["code"] = code
        return llm_string_head(written)

    def sent(self, flight: int) -> None:
        if flight in self._flights:  # the one before failed
            self._note_changes()
        self._flights[flight] = _here()

    def answered(self, flight: int) -> None:
        self._flights.pop(flight, None)
        self._note_changes()

    def _is_answering(self) -> bool:
        """Whether other threads or tasks have calls on their way. Of one that failed, nobody tells."""
        here, senders = _here(), [one() for one in self._flights.valuerefs()]  # a list at once: threads add
        return any(one is not None and one is not here and is_calling(one) for one in senders)

    def _note_changes(self) -> None:
        code = code_of(type(self.ref()))
        before, now = self._now, self._described(code, frozenset(), is_answered=True)
        for name in before.keys() | now.keys():
            was, one = before.get(name, _DEFAULT), now.get(name, _DEFAULT)
            if was != one and changes_itself(self.ref(), name):
                self._volatile.add(name)
                self._counted.setdefault(name, was)
        self._last |= {name: now.get(name, _DEFAULT) for name in self._volatile}

    def _described(self, code: Code | None, within: Within, is_answered: bool = False) -> dict[str, Any]:
        """What says something, described: with code, all; without, those that aren't defaults."""
        model = self.ref()
        own_defaults = {} if code else _defaults(type(model))
        description = self.description(within, is_answered=is_answered)
        told = {
            name: description.of(value)
            for name, value in settings(model)
            if name not in own_defaults or not _is_same(own_defaults[name], value)
        }
        return told | self._told_privately(within, is_answered)


def _here() -> threading.Thread | asyncio.Task[Any]:
    try:
        return asyncio.current_task() or threading.current_thread()
    except RuntimeError:  # no loop runs in this thread
        return threading.current_thread()


class _NoData(Exception):
    """What is to be described is no data."""


def _refuse(_value: Any) -> NoReturn:
    raise _NoData


def _getter(names: Any) -> Callable[[Any], Any]:
    """What takes the values that go by these names, however many, as a tuple or alone."""
    return itemgetter(*names) if names else lambda _fields: None


def _may_change(value: Any) -> bool:
    """Whether the value may become another one in its place."""
    return type(value) not in _IMMUTABLE and not hasattr(value, "get_secret_value")


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
