"""The schema that a structured answer's class stands for: what is sent of it to the model."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from typing import Any, NamedTuple, get_args
from weakref import WeakKeyDictionary, ref


class _Known(NamedTuple):
    """A schema's digest, and the state in which the classes were that it was made of. Keeps none alive."""

    classes: list[ref[type]]
    state: list[Any]
    digest: str


_known: WeakKeyDictionary[type, _Known] = WeakKeyDictionary()
_texts: OrderedDict[str, str] = OrderedDict()
_MOST_TEXTS = 200


def schema_digest(model: Any) -> str | None:
    """A digest of the pydantic class's schema as it is now, or None where it is no such class.

    - A class that is changed in place has another one: its documentation, its configuration, or its fields
      when it is built again; and so has one with a field of that class.

    Raises whatever pydantic does, where no schema can describe the class.
    """
    if not hasattr(model, "model_json_schema"):
        return None
    known = _known.get(model)
    if known is None or known.state != _state(known.classes):
        # unsorted: a model that reasons before it answers gives another answer
        text = json.dumps([model.__name__, model.model_json_schema()], default=str)
        classes = [ref(part) for part in _classes_in(model, [])]
        digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        known = _known[model] = _Known(classes, _state(classes), digest)
        _texts[digest] = text
        if len(_texts) > _MOST_TEXTS:
            _texts.popitem(last=False)
    return known.digest


def schema_of(digest: str) -> dict[str, Any] | None:
    """The schema that has this digest, if this kernel has lately seen a class with it."""
    text = _texts.get(digest)
    return None if text is None else json.loads(text)[1]


def _state(classes: list[ref[type]]) -> list[Any]:
    return [None if (cls := known()) is None else _state_of(cls) for known in classes]


def _state_of(cls: Any) -> tuple[Any, ...]:
    built = (id(getattr(cls, name, None)) for name in ("__pydantic_core_schema__", "__pydantic_validator__"))
    made_by = getattr(cls, "model_json_schema", None)
    return (
        cls.__name__,
        cls.__doc__,
        repr(getattr(cls, "model_config", None)),
        id(getattr(made_by, "__func__", made_by)),
        *built,
    )


def _classes_in(kind: Any, found: list[type]) -> list[type]:
    """The classes with fields that the type is made of, itself first."""
    if isinstance(kind, type) and hasattr(kind, "model_fields"):
        if kind not in found:
            found.append(kind)
            for field in kind.model_fields.values():
                _classes_in(field.annotation, found)
    else:
        for part in get_args(kind):
            _classes_in(part, found)
    return found
