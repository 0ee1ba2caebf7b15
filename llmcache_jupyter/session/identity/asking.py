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
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from llmcache_jupyter.caches.llm_string import serialised_model
from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.clients.langchain_model import Asking, is_model, is_serialisable
from llmcache_jupyter.session.events import logger
from llmcache_jupyter.session.identity.description import class_name
from llmcache_jupyter.session.identity.keys import canonical_key, with_pairs
from llmcache_jupyter.session.identity.model_head import DescribedHead, ModelHead, Within, WrittenHead
from llmcache_jupyter.session.identity.own_changes import OwnChanges
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
        self._heads: dict[int, ModelHead] = {}
        self._volatile: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()
        self._held: OrderedDict[str, Any] = OrderedDict()
        self._own_changes = OwnChanges()
        self._objects = count(1)
        self._lock = new_lock()

    def llm_string(self, given: str, who: Asking | None) -> str:
        """What describes the model that is asking, made of LangChain's `given` text for it.

        - Where no model of LangChain's asks, it is `given`.
        """
        if who is None:
            return given
        model, arguments = who
        try:
            told = self._told(given, self._head_of(model), arguments)
        except Exception:  # a model that cannot be looked at: better a miss than another one's answer
            logger.exception("%s cannot be described", class_name(type(model)))
            return with_pairs(given, {"kernel": self._name_object()})
        return self._bound_to_kernel(told, arguments) if " at 0x" in told and ADDRESS.search(told) else told

    def sent(self, who: Asking | None, flight: int) -> None:
        """Note that this call is sent to the model, by this thread or task."""
        self._note(who, lambda head: head.sent(flight))

    def answered(self, who: Asking | None, flight: int) -> None:
        """Note that the model has answered: what this changed of the model is not its configuration."""
        self._note(who, lambda head: head.answered(flight))

    def _note(self, who: Asking | None, note: Callable[[ModelHead], None]) -> None:
        head = None if who is None else self._heads.get(id(who[0]))
        if head is not None:
            try:
                note(head)
            except Exception:  # it was described before: then it is another one at the next call
                logger.exception("%s cannot be described", class_name(type(head.ref())))

    def _told(self, given: str, head: ModelHead, arguments: Mapping[str, Any]) -> str:
        text = head.text()
        if given.startswith(text):
            return given
        if not given.startswith('{"'):
            self._tell_unidentified(given, text, head, arguments)
            return with_pairs(text + given, head.description().of_names(arguments))
        if not given.startswith(head.as_written) and (names := changed_fields(given, head.as_written)):
            self._traps.changed(head.ref(), names)
        return text + given[end_of_head(given) :]

    def _tell_unidentified(
        self, given: str, text: str, head: ModelHead, arguments: Mapping[str, Any]
    ) -> None:
        if '"<object>"' in text:
            self._traps.unstable(head.ref())
        elif identifies_nothing(given, arguments):
            self._traps.unidentified(head.ref())

    def _head_of(self, model: Any) -> ModelHead:
        known = self._heads.get(id(model))
        if known is None or known.ref() is not model:
            key = id(model)
            how = (
                model,
                lambda _: self._heads.pop(key, None),
                self._name_object,
                self._text_of,
                self._own_changes,
            )
            if is_serialisable(model):
                known = WrittenHead(*how)
            else:
                known = DescribedHead(*how, volatile=self._volatile.setdefault(type(model), set()))
            self._heads[key] = known
        return known

    def _text_of(self, value: Any, within: Within) -> str | None:
        """What stands for a model that is a part of another one; None of what is no model."""
        if not is_model(value):
            return None
        if id(value) in within:
            return class_name(type(value))
        return canonical_key("", self._head_of(value).text(within))[1]

    def _name_object(self) -> str:
        return f"{self._kernel}-{next(self._objects)}"

    def _bound_to_kernel(self, told: str, arguments: dict[str, Any]) -> str:
        with self._lock:
            self._held[told] = arguments
            if len(self._held) > _MAX_HELD:
                self._held.popitem(last=False)
        return with_pairs(told, {"kernel": self._kernel})


@lru_cache(maxsize=256)
def _names(llm_string: str) -> frozenset[str]:
    try:
        return frozenset(dict(ast.literal_eval(llm_string)))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return frozenset(_PAIR_NAME.findall(llm_string))


def is_bound_to_kernel(llm_string: str) -> bool:
    """Whether this text holds what stands for an object of one kernel: no other one makes it again."""
    return '"<object>"' in llm_string or "('kernel', '" in llm_string


def identifies_nothing(llm_string: str, arguments: Mapping[str, Any]) -> bool:
    """Whether this text of LangChain's for a call holds the model's kind, and nothing else of it."""
    return _names(llm_string) <= {"_type", "stop", *arguments}


def changed_fields(old: str, new: str) -> list[str]:
    """The names of the fields in which two serialised models differ."""
    before, after = (serialised_model(text)[0].get("kwargs", {}) for text in (old, new))
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


@lru_cache(maxsize=256)
def end_of_head(llm_string: str) -> int:
    """Where the serialised model of an llm_string ends, and its list of arguments begins."""
    _, end = serialised_model(llm_string)
    return end + len("---") if llm_string.startswith("---", end) else end
