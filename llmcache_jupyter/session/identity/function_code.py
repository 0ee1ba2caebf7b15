"""The code of functions that the notebook, or a module beside it, defines."""

from __future__ import annotations

import dis
import inspect
import io
import tokenize
from collections.abc import Iterable, Iterator
from functools import partial, partialmethod
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from llmcache_jupyter.caches.credentials import is_callers
from llmcache_jupyter.clients.own_code import is_own

_MOST_WRAPPED = 8
_MOST_FUNCTIONS = 200
_LAYOUT = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER})
_STRING_BEGINS, _STRING_ENDS = (
    frozenset(getattr(tokenize, f"{kind}STRING_{side}", None) for kind in "FT") for side in ("START", "END")
)
_BLOCKS = {tokenize.NEWLINE: ";", tokenize.INDENT: "{", tokenize.DEDENT: "}"}  # however far it is moved in


def functions_of(member: Any) -> list[FunctionType]:
    """The functions that a member of a class is made of: itself, what it wraps, a property's two."""
    if type(member) is FunctionType and not hasattr(member, "__wrapped__"):
        return [member]
    if type(member) is property:
        return [*functions_of(member.fget), *functions_of(member.fset)]
    if isinstance(member, staticmethod | classmethod | MethodType):
        member = member.__func__
    functions: list[FunctionType] = []
    for _ in range(_MOST_WRAPPED):
        if isinstance(member, FunctionType):
            functions.append(member)
            if not hasattr(member, "__wrapped__"):
                break
        elif isinstance(member, type | partial | partialmethod):
            break
        member = getattr(member, "__wrapped__", getattr(member, "func", None))
        if member is None:
            break
    return functions


def kept_by(function: FunctionType) -> dict[str, Any]:
    """What the function has besides its code, by name: default values, and variables from around it.

    - Not what only tells who asks.
    """
    code = function.__code__
    defaults = function.__defaults__ or ()
    first = code.co_argcount - len(defaults)
    kept = dict(zip(code.co_varnames[first : code.co_argcount], defaults, strict=True))
    kept |= function.__kwdefaults__ or {}
    kept |= zip(code.co_freevars, map(_content, function.__closure__ or ()), strict=True)
    kept.pop("__class__", None)  # what `super()` needs
    return {name: value for name, value in kept.items() if value is not None and not is_callers(name, value)}


def counters_in(code: CodeType) -> Iterator[str]:
    """The attributes and outer variables that the code sets to what it makes of them."""
    used: dict[str, set[str]] = {"LOAD": set(), "STORE": set()}
    for instruction in dis.get_instructions(code):
        kind, _, place = instruction.opname.partition("_")
        if kind in used and place in ("ATTR", "DEREF"):
            used[kind].add(instruction.argval)
    yield from used["LOAD"] & used["STORE"]
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from counters_in(part)


class Read(NamedTuple):
    """A global variable that a function reads, or what it takes from a module.

    - `knows`: the function or the module that knows its `name`.
    """

    knows: Any
    name: str

    @property
    def value(self) -> Any:
        """What goes by the name now; None where nothing does."""
        return world_of(self.knows).get(self.name)


def world_of(knows: FunctionType | ModuleType) -> dict[str, Any]:
    """The variables that go by their names there."""
    return vars(knows) if isinstance(knows, ModuleType) else knows.__globals__


def read_by(functions: Iterable[FunctionType]) -> list[Read]:
    """The global variables that these functions read, and the functions of the user's own that they call.

    - Of a module of the user's own: what they take from it. What one of them sets is left out: it counts
      something.
    """
    found: dict[tuple[int, str], Read] = {}
    counted: set[tuple[int, str]] = set()
    left = list(functions)
    for function in left:
        around = function.__globals__
        if not is_own(str(around.get("__name__"))):  # a decorator that is installed
            continue
        reads, sets = globals_in(function.__code__)
        counted |= {(id(around), name) for name in sets}
        for one in _reads_from(function, reads, names_in(function.__code__)):
            place = (id(world_of(one.knows)), one.name)
            if place not in found:
                found[place] = one
                if len(left) < _MOST_FUNCTIONS:
                    left += _own_functions_behind(one.value)
    return [one for place, one in found.items() if place not in counted]


def _reads_from(
    knows: FunctionType | ModuleType, names: Iterable[str], taken: frozenset[str]
) -> Iterator[Read]:
    world = world_of(knows)
    for name in sorted(world.keys() & names):
        if name.startswith("__"):
            continue
        yield Read(knows, name)
        if isinstance(module := world[name], ModuleType) and is_own(module.__name__):
            yield from _reads_from(module, taken - {name}, taken - {name})


def _own_functions_behind(value: Any) -> list[FunctionType]:
    if isinstance(value, partial):
        return _own_functions_behind(value.func)
    return functions_in(own_parts(value)) if isinstance(value, type) else own_functions_of(value)


def own_parts(cls: type) -> list[type]:
    """The class and its bases, as far as they are the notebook's or a module's beside it."""
    return [part for part in cls.__mro__ if is_own(part.__module__)]


def functions_in(classes: Iterable[type]) -> list[FunctionType]:
    """The functions that the classes' members are made of."""
    members = (member for cls in classes for member in vars(cls).values())
    return [function for member in members for function in functions_of(member)]


def own_functions_of(value: Any) -> list[FunctionType]:
    """The functions that the value is made of, where the notebook, or a module beside it, defines them."""
    if isinstance(value, type | ModuleType):
        return []
    return [function for function in functions_of(value) if is_own(function.__module__ or "")]


def globals_in(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the global variables that the code reads, and of those that it sets."""
    used: dict[str, set[str]] = {"LOAD": set(), "STORE": set()}
    for part in _parts_of(code):
        for instruction in dis.get_instructions(part):
            kind, _, place = instruction.opname.partition("_")
            if kind in used and place == "GLOBAL":
                used[kind].add(instruction.argval)
    return frozenset(used["LOAD"]), frozenset(used["STORE"])


def names_in(code: CodeType) -> frozenset[str]:
    """The names of whatever the code takes from an object or a module."""
    return frozenset(name for part in _parts_of(code) for name in part.co_names)


def _parts_of(code: CodeType) -> Iterator[CodeType]:
    yield code
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _parts_of(part)


def code_of_function(function: Any) -> str:
    """The function's source without comments and layout; its byte code where there is no source.

    - The source of a module may have been edited since it was loaded: there, both.
    """
    source = _source_of_function(function)
    module = getattr(function, "__module__", None)
    if module in (None, "__main__") or not is_own(module) or not hasattr(function, "__code__"):
        return source
    return f"{source} {byte_code(function.__code__)}"


def _source_of_function(function: Any) -> str:
    try:
        source = inspect.getsource(function)
        if function.__name__ == "<lambda>":  # its lines hold more than itself
            return byte_code(function.__code__)
        return " ".join(_words_of(source))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError, AttributeError):
        return byte_code(function.__code__) if hasattr(function, "__code__") else repr(type(function))


def _words_of(source: str) -> Iterator[str]:
    """The source's words, without comments and layout. An f-string is one, as before Python 3.12."""
    lines = list(io.StringIO(source))  # as Python splits it: at no other line breaks
    beginnings: list[tuple[int, int]] = []  # of f-strings, one within the other
    for token in tokenize.generate_tokens(iter(lines).__next__):
        if token.type in _STRING_BEGINS:
            beginnings.append(token.start)
        elif token.type in _STRING_ENDS:
            begin = beginnings.pop()
            if not beginnings:
                yield _between(lines, begin, token.end)
        elif not beginnings and token.type not in _LAYOUT:
            yield _BLOCKS.get(token.type, token.string)


def _between(lines: list[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    (first, column), (last, stop) = begin, end
    text = "".join(lines[first - 1 : last])
    return text[column : len(text) - len(lines[last - 1]) + stop]


def byte_code(code: CodeType) -> str:
    """What the code does, the same in every kernel of one Python version."""
    constants = [
        byte_code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _constant(value: Any) -> str:
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None
