"""What objects that models hold change of themselves while calls are answered: it counts as it was before."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from inspect import getattr_static
from typing import Any
from weakref import ref

from llmcache_jupyter.clients.own_code import is_own
from llmcache_jupyter.session.identity.class_code import changes_itself

_ABSENT = object()

Told = dict[str, Any]


@dataclass
class _Part:
    """An object: how it was last described, and what counts instead of fields that it changed itself."""

    ref: ref[Any]
    last: Told
    counted: dict[str, Any] = field(default_factory=dict)

    def as_counted(self, told: Told) -> Told:
        fields = told["fields"] | self.counted
        return {**told, "fields": {name: one for name, one in fields.items() if one is not _ABSENT}}

    def changed(self, told: Told) -> list[str]:
        """The names of the fields that are others than last."""
        before, now = self.last["fields"], told["fields"]
        return [name for name in {*before, *now} if before.get(name, _ABSENT) != now.get(name, _ABSENT)]


class OwnChanges:
    """The objects that models hold, each with what its own calls changed of it.

    - What anyone else changes counts, and with it all that the object had made of what was there before.
    - No object is kept alive. One that cannot be watched so counts as it is.
    """

    def __init__(self) -> None:
        self._parts: dict[int, _Part] = {}

    def seen(self, value: Any, told: Told) -> Told:
        """What counts of this object, which is described as `told` between calls."""
        part = self._part_of(value, told)
        if part is None:
            return told
        if part.last != told:
            part.counted.clear()
        part.last = told
        return part.as_counted(told)

    def answered(self, value: Any, told: Told) -> Told:
        """What counts of this object, which is described as `told` as soon as a call is answered."""
        part = self._part_of(value, told)
        if part is None:
            return told
        names = part.changed(told)
        is_same_code = told.get("code") == part.last.get("code")
        if is_same_code and all(_changes_itself(value, name) for name in names):
            part.counted = {name: part.last["fields"].get(name, _ABSENT) for name in names} | part.counted
        else:
            part.counted.clear()
        part.last = told
        return part.as_counted(told)

    def _part_of(self, value: Any, told: Told) -> _Part | None:
        key = id(value)
        part = self._parts.get(key)
        if part is None or part.ref() is not value:
            try:
                part = self._parts[key] = _Part(ref(value, lambda _: self._parts.pop(key, None)), told)
            except TypeError:
                return None
        return part


def _changes_itself(value: Any, name: str) -> bool:
    """Whether the object's own code may have changed the field.

    - Of an installed class, only where it keeps what it once made. What else it takes in may be a talk that
      the next answer depends on.
    """
    is_kept = isinstance(getattr_static(type(value), name, None), cached_property)
    return is_kept or (is_own(type(value).__module__) and changes_itself(value, name))
