"""The code of a model's class, of the classes and functions it uses, and what of it a call changes."""

from __future__ import annotations

import dis
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from enum import Enum
from functools import partial
from itertools import compress
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple
from uuid import uuid4
from weakref import WeakKeyDictionary, ref

from llmcache_jupyter.caches.credentials import is_callers
from llmcache_jupyter.clients.own_code import is_installed, is_own
from llmcache_jupyter.session.identity.description import (
    Code,
    Description,
    Opaque,
    class_name,
    digest_of,
)
from llmcache_jupyter.session.identity.function_code import (
    Read,
    byte_code,
    code_of_function,
    counters_in,
    functions_in,
    functions_of,
    kept_by,
    own_functions_of,
    own_parts,
    read_by,
    world_of,
)
from llmcache_jupyter.session.identity.known_kinds import text_of

_OF_CLASSES = frozenset({"model_config", "model_fields", "model_computed_fields"})
_ALIKE = frozenset({"_thread.lock", "_thread.RLock", "pydantic_core._pydantic_core.PydanticUndefinedType"})
_TOLD_BY_REPR = frozenset({"builtins", "types", "typing"})
_PLAIN = frozenset({type(None), bool, int, float, str, list, tuple, dict, set, frozenset})
_CONSTANTS = frozenset({type(None), bool, int, float, str, bytes})
_FUNCTIONS = frozenset({FunctionType, property, staticmethod, classmethod})
_MAKERS = frozenset({"__new__", "__init__", "__post_init__", "model_post_init"})

Tell = Callable[[Any], str]


class _Seen(NamedTuple):
    """A global variable that a function reads; and what its own methods count, where it is a class."""

    knows: ref[Any]
    name: str
    counters: frozenset[str]


class _Known(NamedTuple):
    """The code of a class, and the members that it was made of. It keeps alive no class and no function."""

    own: tuple[bool, ...]
    counters: frozenset[str]
    reads: list[_Seen]
    ids: list[int]
    held: list[Any]
    code: Code | None


_codes: WeakKeyDictionary[type, _Known] = WeakKeyDictionary()


def code_of(part: type | FunctionType) -> Code | None:
    """A digest of the code that the notebook, or a module beside it, gives a class; None where none does.

    - A function has one wherever it comes from.
    - Comments and layout make no difference, and neither does running the cell or loading the module again.
    - What its methods keep is part of it: default values, variables of the function around them. Where no
      data stands for that, it is `{"<object>": digest}`, of this class object alone.
    - So are the functions and classes of the user's own that it uses, which installed ones it uses, and the
      constants: global variables whose value is text, a number, a tuple or of another simple kind. What is
      named like a secret is not.
    - A member that is replaced, or patched as `%autoreload` does, gives another digest at once.
    - What is installed has no code: its name is enough.
    """
    if isinstance(part, FunctionType):
        return _code_within(part, _name_of_kind, set())
    known = _codes.get(part)
    if known is None or (known.own and known.ids != _ids_of(part, known)):
        known = _codes[part] = _look_at(part)
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
    reads = list(map(_seen, read_by(functions_in(own))))
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


def _seen(read: Read) -> _Seen:
    value = read.value
    counters = _counters_of(own_parts(value)) if isinstance(value, type) else frozenset()
    return _Seen(ref(read.knows), read.name, counters)


def _values_read(reads: Iterable[_Seen]) -> list[Any]:
    values: list[Any] = []
    for knows, name, counters in reads:
        if (known := knows()) is not None:
            value = world_of(known).get(name)
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


def _code_within(part: type | FunctionType, opaque: Opaque, within: set[Any]) -> str | None:
    """The code of a class or a function, unless it is told already, `within` another's."""
    if part in within:
        return None
    within.add(part)
    if isinstance(part, FunctionType):
        return digest_of("\n".join([code_of_function(part), *_texts_read([part], within)]))
    own = own_parts(part)
    if not own:
        return None
    tell = _teller(opaque, within)
    return digest_of(
        "\n".join([*(_class_text(one, tell) for one in own), *_texts_read(functions_in(own), within)])
    )


def _teller(opaque: Opaque, within: set[Any]) -> Tell:
    def code(part: type | FunctionType) -> Code | None:
        return _code_within(part, opaque, within)

    return lambda value: json.dumps(Description(opaque, code).of(value), sort_keys=True)


def _texts_read(functions: Iterable[FunctionType], within: set[Any]) -> list[str]:
    """What the functions read of the world around them, a line each, as far as it is told."""
    found = {}
    for read in read_by(functions):
        if not is_callers(read.name, read.value) and (text := _text_read(read.value, within)):
            found[f"{world_of(read.knows).get('__name__')} {read.name}"] = text
    return [f"{name} = {text}" for name, text in sorted(found.items())]


def _text_read(value: Any, within: set[Any]) -> str | None:
    tell = _teller(_name_of_kind, within)
    if own_functions_of(value):
        return "\n".join(_member_texts("", value, tell))
    if isinstance(value, type) and own_parts(value):
        return _code_within(value, _name_of_kind, within)
    if isinstance(value, partial | Enum):
        return tell(value)
    if isinstance(value, type | FunctionType | BuiltinFunctionType):  # installed: which one it is
        return f"{str(value.__module__).partition('.')[0]} {value.__qualname__}"
    return _constant_text(value)


def _name_of_kind(value: Any) -> str:
    return class_name(type(value))


def _constant_text(value: Any) -> str | None:
    """What stands for a constant: also for what it holds, as far as that is one. None of what is none."""
    if type(value) in _CONSTANTS:
        return repr(value)
    if isinstance(value, tuple):
        parts = list(value)
    elif isinstance(value, frozenset):
        parts = sorted(value, key=repr)
    elif getattr(getattr(value, "__dataclass_params__", None), "frozen", False) and not isinstance(
        value, type
    ):
        parts = [getattr(value, field.name) for field in fields(value)]
    else:
        return text_of(value)
    texts = [_constant_text(part) or class_name(type(part)) for part in parts]
    return f"{class_name(type(value))}({', '.join(texts)})"


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
    used = [code for cls in type(value).__mro__ for code in _codes_run_later(cls)]
    if isinstance(getattr(value, name, None), list | dict | set):
        return any(name in code.co_names for code in used)
    return any(
        instruction.opname == "STORE_ATTR" and instruction.argval == name
        for code in used
        if name in code.co_names
        for instruction in dis.get_instructions(code)
    )


def _codes_run_later(cls: type) -> Iterator[CodeType]:
    """The code that may run once the object is made."""
    for name, member in vars(cls).items():
        if name not in _MAKERS:
            yield from (function.__code__ for function in functions_of(member))


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
