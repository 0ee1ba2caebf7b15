"""A value as plain data that is the same in every kernel: what tells two models of one name apart."""

from __future__ import annotations

import dis
import hashlib
import inspect
import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import compress
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary, ref

from llmcache_jupyter.caches.credentials import CALLERS_NAME, tells_caller
from llmcache_jupyter.caches.llm_string import SECRET_NAME
from llmcache_jupyter.session.function_code import (
    byte_code,
    code_of_function,
    counters_in,
    functions_in,
    functions_of,
    is_installed,
    is_own,
    kept_by,
    own_functions_of,
    own_parts,
    read_by,
)

_DEEPEST = 8
_MOST = 2000
_WRITTEN_IN_FULL = frozenset({"datetime", "decimal", "uuid", "pathlib", "fractions"})
_HEAP_TYPE = 1 << 9
_OF_CLASSES = frozenset({"model_config", "model_fields", "model_computed_fields"})
_ALIKE = frozenset({"_thread.lock", "_thread.RLock", "pydantic_core._pydantic_core.PydanticUndefinedType"})
_TOLD_BY_REPR = frozenset({"builtins", "types", "typing"})
_PLAIN = frozenset({type(None), bool, int, float, str, list, tuple, dict, set, frozenset})
_CONSTANTS = frozenset({type(None), bool, int, float, str, bytes})
_FUNCTIONS = frozenset({FunctionType, property, staticmethod, classmethod})

Opaque = Callable[[Any], str]
Code = str | dict[str, str]
Below = Callable[[Any], Any]
Tell = Callable[[Any], str]


class Description:
    """Describes values. What no data stands for is given to `opaque`, which names that very object.

    - Equal descriptions mean equal values, as far as data, classes and functions go.
    - Secrets are left out: fields named like one, and pydantic's SecretStr.
    """

    def __init__(self, opaque: Opaque, within: set[type] | None = None) -> None:
        self._opaque = opaque
        self._within = within
        self._count = 0

    def of(self, value: Any, depth: int = 0) -> Any:
        """The value as JSON can write it."""
        self._count += 1
        if value is None or type(value) in (bool, int, float, str):
            return value
        if depth > _DEEPEST or self._count > _MOST:
            return {"<object>": self._opaque(value)}
        below = partial(self.of, depth=depth + 1)
        try:
            return self._of_collection(value, below)
        except Exception:  # an object that refuses to be looked at
            return {"<object>": self._opaque(value)}

    def of_names(self, named: Mapping[str, Any], below: Below | None = None) -> dict[str, Any]:
        """What goes by these names, whose order says nothing, as JSON can write it."""
        below = below or self.of
        return {name: _of_name(name, value, below, tells_caller) for name, value in sorted(named.items())}

    def _of_collection(self, value: Any, below: Below) -> Any:
        if type(value) in (list, tuple):
            return [below(part) for part in value]
        if type(value) is dict:
            return self._of_dict(value, below)
        if type(value) in (set, frozenset):
            return {"<set>": sorted((below(part) for part in value), key=_sortable)}
        if isinstance(value, FunctionType | MethodType | BuiltinFunctionType | partial):
            return self._of_callable(value, below)
        return self._of_object(class_name(type(value)), value, below)

    def _of_callable(self, value: Any, below: Below) -> Any:
        if isinstance(value, FunctionType):
            return self._of_function(value, below)
        if isinstance(value, MethodType):
            return {"<method>": value.__name__, "of": below(value.__self__)}
        if isinstance(value, partial):
            return {"<partial>": below(value.func), "with": below([list(value.args), value.keywords])}
        if inspect.ismodule(value.__self__):
            return {"<function>": f"{value.__module__}.{value.__qualname__}"}
        return {"<method>": value.__name__, "of": below(value.__self__)}

    def _of_object(self, name: str, value: Any, below: Below) -> Any:
        if isinstance(value, type):
            return {"<class>": class_name(value), "code": self._code_of(value)}
        if hasattr(value, "get_secret_value"):
            return {"<secret>": name}
        if (text := _text_of(value)) is not None:
            return {f"<{name}>": text}
        return self._of_fields(name, value, below)

    def _of_fields(self, name: str, value: Any, below: Below) -> Any:
        if not _is_its_fields(type(value)):
            return {"<object>": self._opaque(value)}
        told = {"<of>": name, "fields": _of_fields(vars(value), below)}
        private = getattr(value, "__pydantic_private__", None)
        if isinstance(private, dict) and private:
            told["private"] = _of_fields(private, below)
        if code := self._code_of(type(value)):
            told["code"] = code
        return told

    def _code_of(self, cls: type) -> Code | None:
        """The class's code. One that is told within another's tells each further class only once."""
        return code_of(cls) if self._within is None else _code_within(cls, self._opaque, self._within)

    def _of_function(self, function: FunctionType, below: Below) -> Any:
        told = {
            "<function>": f"{function.__module__}.{function.__qualname__}",
            "code": _digest(code_of_function(function)),
        }
        if kept := kept_by(function):
            told["with"] = below(kept)
        return told

    def _of_dict(self, value: dict[Any, Any], below: Below) -> Any:
        if not all(isinstance(name, str) for name in value):
            return {"<dict>": [[below(name), below(value)] for name, value in value.items()]}
        told = self.of_names(value, below)
        if list(value) != list(told):
            told["<order>"] = list(value)
        return told


def _of_fields(named: Mapping[str, Any], below: Below) -> dict[str, Any]:
    return {name: _of_name(name, value, below, _is_callers_field) for name, value in sorted(named.items())}


def _is_callers_field(name: str, _value: Any) -> bool:
    return bool(CALLERS_NAME.search(name))


def _of_name(name: str, value: Any, below: Below, is_callers: Callable[[str, Any], bool]) -> Any:
    """The value; of what is named like a secret only a digest, and nothing of what just tells who asks."""
    if not SECRET_NAME.search(name):
        return below(value)
    if is_callers(name, value):
        return {"<secret>": ""}
    return {"<secret>": _digest(json.dumps(below(value), sort_keys=True))}


def _text_of(value: Any) -> str | None:
    """The text that stands for a value of a simple kind; None where it is of no such kind."""
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=8).hexdigest()
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r} {value.flags}"
    if isinstance(value, Enum | logging.Logger):
        constant = getattr(value, "value", None)
        return f"{value.name} {constant!r}" if _is_constant(constant) else str(value.name)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float | range) or type(value).__module__ in _WRITTEN_IN_FULL:
        return repr(value)
    return None


def class_name(cls: type) -> str:
    """The class's name with its module."""
    return f"{cls.__module__}.{cls.__qualname__}"


class _Read(NamedTuple):
    """A global variable that a function reads; and what its own methods count, where it is a class."""

    knows: ref[FunctionType]
    name: str
    counters: frozenset[str]


class _Known(NamedTuple):
    """The code of a class, and the members that it was made of. It keeps alive no class and no function."""

    own: tuple[bool, ...]
    counters: frozenset[str]
    reads: list[_Read]
    ids: list[int]
    held: list[Any]
    code: Code | None


_codes: WeakKeyDictionary[type, _Known] = WeakKeyDictionary()


def code_of(cls: type) -> Code | None:
    """A digest of the code that the notebook, or a module beside it, gives the class; None where none does.

    - Comments and layout make no difference, and neither does running the cell or loading the module again.
    - What its methods keep is part of it: default values, variables of the function around them. Where no
      data stands for that, it is `{"<object>": digest}`, of this class object alone.
    - So are the functions and classes of the user's own that it uses, which installed ones it uses, and the
      constants: global variables whose value is text, a number, a tuple or of another simple kind. What is
      named like a secret is not.
    - A member that is replaced, or patched as `%autoreload` does, gives another digest at once.
    - What is installed has no code: its name is enough.
    """
    known = _codes.get(cls)
    if known is None or (known.own and known.ids != _ids_of(cls, known)):
        known = _codes[cls] = _look_at(cls)
    return known.code


def _ids_of(cls: type, known: _Known) -> list[int]:
    members = _members(compress(cls.__mro__, known.own), known.counters)
    return list(map(id, members + _values_read(known.reads)))


def _look_at(cls: type) -> _Known:
    which = tuple(is_own(part.__module__) for part in cls.__mro__)
    if not any(which):
        return _Known((), frozenset(), [], [], [], None)
    own = list(compress(cls.__mro__, which))
    counters = _counters_of(own)
    reads = [_read(function, name) for function, name in read_by(functions_in(own))]
    members = _members(own, counters) + _values_read(reads)
    ids = list(map(id, members))
    unnamed: list[str] = []

    def opaque(value: Any) -> str:
        if (text := _text_of_opaque(value)) is None:
            unnamed.append(text := uuid4().hex)
        return text

    digest = _code_within(cls, opaque, set())
    code: Code | None = {"<object>": digest} if unnamed and digest else digest
    held = [_held(member, ids) for member in members]
    return _Known(which, counters, reads, ids, held, code)


def _counters_of(own: Iterable[type]) -> frozenset[str]:
    return frozenset(name for part in own for code in _codes_in(part) for name in counters_in(code))


def _read(function: FunctionType, name: str) -> _Read:
    value = function.__globals__.get(name)
    counters = _counters_of(own_parts(value)) if isinstance(value, type) else frozenset()
    return _Read(ref(function), name, counters)


def _values_read(reads: Iterable[_Read]) -> list[Any]:
    values: list[Any] = []
    for knows, name, counters in reads:
        if (function := knows()) is not None:
            value = function.__globals__.get(name)
            values += value, getattr(value, "__code__", None)  # which `%autoreload` replaces
            if isinstance(value, type):
                values += _members(own_parts(value), counters)
    return values


def _held(member: Any, ids: list[int]) -> Any:
    """What keeps the member's id from being another's: the end of the member makes the ids void."""
    try:
        return ref(member, lambda _: ids.clear())
    except TypeError:
        return member


def _members(own: Iterable[type], counters: frozenset[str]) -> list[Any]:
    """The objects that the classes' code is made of. What their own methods count is not among them."""
    found: list[Any] = []
    for cls in own:
        found += cls, vars(cls).get("__doc__")
        for name, member in vars(cls).items():
            kind = type(member)
            if kind in _PLAIN or (kind not in _FUNCTIONS and name.startswith(("__", "_abc_"))):
                functions = []
            else:
                functions = functions_of(member)
            if functions:
                found.append(name)
                for function in functions:
                    found.append(function.__code__)
                    if function.__defaults__ or function.__kwdefaults__ or function.__closure__:
                        found += [part for key, part in kept_by(function).items() if key not in counters]
            elif not name.startswith(("__", "_abc_")) and name not in counters:
                found += name, member
    return found


def _code_within(cls: type, opaque: Opaque, within: set[type]) -> str | None:
    if cls in within:
        return None
    within.add(cls)
    own = own_parts(cls)

    def tell(value: Any) -> str:
        return json.dumps(Description(opaque, within).of(value), sort_keys=True)

    if not own:
        return None
    return _digest("\n".join([*(_class_text(part, tell) for part in own), *_texts_read(own, within)]))


def _texts_read(classes: Iterable[type], within: set[type]) -> list[str]:
    """What the classes' functions read of the world around them, a line each, as far as it is told."""
    found = {}
    for function, name in read_by(functions_in(classes)):
        if not CALLERS_NAME.search(name) and (text := _text_read(function.__globals__.get(name), within)):
            found[f"{function.__module__} {name}"] = text
    return [f"{name} = {text}" for name, text in sorted(found.items())]


def _text_read(value: Any, within: set[type]) -> str | None:
    def opaque(part: Any) -> str:
        return class_name(type(part))

    def tell(part: Any) -> str:
        return json.dumps(Description(opaque, within).of(part), sort_keys=True)

    if own_functions_of(value):
        return "\n".join(_member_texts("", value, tell))
    if isinstance(value, type) and own_parts(value):
        return _code_within(value, opaque, within)
    if isinstance(value, partial | Enum):
        return tell(value)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):  # installed: which one it is
        return f"{str(value.__module__).partition('.')[0]} {value.__qualname__}"
    return repr(value) if _is_constant(value) else _text_of(value)


def _is_constant(value: Any) -> bool:
    return type(value) in _CONSTANTS or (type(value) is tuple and all(map(_is_constant, value)))


def _text_of_opaque(value: Any) -> str | None:
    """The text that stands for what is no data; None where nothing but the object itself does."""
    if isinstance(value, ModuleType):
        return value.__name__
    if (name := class_name(type(value))) in _ALIKE:
        return name
    text = repr(value) if type(value).__module__ in _TOLD_BY_REPR else " at 0x"
    return None if " at 0x" in text else text


def changes_itself(value: Any, name: str) -> bool:
    """Whether the object's own code may have changed its field `name`: it sets it, or knows what is in it."""
    used = [code for cls in type(value).__mro__ for code in _codes_in(cls)]
    if isinstance(getattr(value, name, None), list | dict | set):
        return any(name in code.co_names for code in used)
    return any(
        instruction.opname == "STORE_ATTR" and instruction.argval == name
        for code in used
        if name in code.co_names
        for instruction in dis.get_instructions(code)
    )


def _codes_in(cls: type) -> Iterator[CodeType]:
    for member in vars(cls).values():
        code = getattr(getattr(member, "__func__", member), "__code__", None)
        if isinstance(code, CodeType):
            yield code


def _class_text(cls: type, tell: Tell) -> str:
    lines = [cls.__qualname__, _without_address(str(vars(cls).get("__doc__") or ""))]
    for name, member in sorted(vars(cls).items()):
        lines += [f"{name} {text}" for text in _member_texts(name, member, tell)]
    fields = vars(cls).get("__pydantic_fields__") or {}
    annotations = vars(cls).get("__annotations__", {})
    for name, kind in annotations.items():
        lines.append(f"{name}: {_without_address(str(kind))} = {tell(_of_field(fields.get(name)))}")
    for name, field in sorted((vars(cls).get("__private_attributes__") or {}).items()):
        lines.append(f"{name} = {tell(_of_field(field))}")
    return "\n".join(lines)


def _of_field(field: Any) -> list[Any]:
    """What pydantic makes values of a field from, and tells of it."""
    told = [getattr(field, name, None) for name in ("default", "default_factory", "description")]
    checks = getattr(field, "metadata", ())
    return [*told, *(getattr(check, "func", _without_address(repr(check))) for check in checks)]


def _without_address(text: str) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _member_texts(name: str, member: Any, tell: Tell) -> Iterator[str]:
    if functions := functions_of(member):
        for function in functions:
            if not hasattr(function, "__wrapped__"):
                yield code_of_function(function)
            elif not is_installed(function.__code__.co_filename):
                yield byte_code(function.__code__)
            if kept := kept_by(function):
                yield tell(kept)
    elif not name.startswith(("__", "_abc_")) and name not in _OF_CLASSES:
        yield tell(member)


def _is_its_fields(cls: type) -> bool:
    """Whether an object of this class is nothing but what `vars` shows."""
    classes = cls.__mro__[:-1]
    return all(part.__flags__ & _HEAP_TYPE for part in classes) and not any(
        _hides(part) for part in classes if not _is_pydantic(part)
    )


def _hides(cls: type) -> bool:
    slots = vars(cls).get("__slots__", ())
    return bool(set([slots] if isinstance(slots, str) else slots) - {"__dict__", "__weakref__"})


def _is_pydantic(cls: type) -> bool:
    return cls.__module__.startswith(("pydantic", "abc", "typing"))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _sortable(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
