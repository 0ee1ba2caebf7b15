"""All that an object is made of, where that can be seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_HEAP_TYPE = 1 << 9
_POINTER = tuple.__itemsize__


def fields_of(value: Any) -> dict[str, Any] | None:
    """What the object is made of, by name; None where its class, or a base of that, is not all Python.

    - Its attributes, what is in its slots, and pydantic's private attributes.
    """
    cls = type(value)
    slots = dict(_slots_of(cls))
    if not _is_made_of(cls, len(slots)):
        return None
    fields = dict(getattr(value, "__dict__", {}))
    for name, slot in slots.items():
        try:
            fields[name] = slot.__get__(value)
        except AttributeError:  # nothing is in it
            continue
    private = fields.pop("__pydantic_private__", None) or {}
    more = fields.pop("__pydantic_extra__", None) or {}
    fields.pop("__pydantic_fields_set__", None)
    return fields | more | private


def _slots_of(cls: type) -> Iterator[tuple[str, Any]]:
    for part in cls.__mro__:
        slots = vars(part).get("__slots__", ())
        for name in [slots] if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__"):
                mangled = f"_{part.__name__.lstrip('_')}{name}"
                is_hidden = name.startswith("__") and not name.endswith("__")
                yield (mangled, vars(part)[mangled]) if is_hidden else (name, vars(part)[name])


def _is_made_of(cls: type, slots: int) -> bool:
    """Whether its objects have room for their attributes and so many slots, and for nothing else.

    - A class that is written in C, and keeps something of its own there, may look like one of Python's.
    """
    places = slots + (cls.__dictoffset__ > 0) + (cls.__weakrefoffset__ > 0)
    size = object.__basicsize__ + places * _POINTER
    is_python = all(part.__flags__ & _HEAP_TYPE for part in cls.__mro__[:-1])
    return is_python and cls.__basicsize__ == size and not cls.__itemsize__
