"""A value as plain data that is the same in every kernel: what tells two models of one name apart."""

from __future__ import annotations

import dis
import hashlib
import inspect
import io
import json
import re
import sys
import sysconfig
import tokenize
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from llmcache_jupyter.caches.llm_string import SECRET_NAME

_DEEPEST = 8
_MOST = 2000
_LAYOUT = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip
_WRITTEN_IN_FULL = frozenset({"datetime", "decimal", "uuid", "pathlib", "fractions"})
_HEAP_TYPE = 1 << 9
_OF_CLASSES = frozenset({"model_config", "model_fields", "model_computed_fields"})
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_STANDARD_LIBRARY = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}
# the latest loads of the modules that its code is from, and the digest
_codes: WeakKeyDictionary[type, tuple[dict[str, Any], str | None]] = WeakKeyDictionary()

Opaque = Callable[[Any], str]
Below = Callable[[Any], Any]


class Description:
    """Describes values. What no data stands for is given to `opaque`, which names that very object.

    - Equal descriptions mean equal values, as far as data, classes and functions go.
    - Secrets are left out: fields named like one, and pydantic's SecretStr.
    """

    def __init__(self, opaque: Opaque) -> None:
        self._opaque = opaque
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

    def _of_collection(self, value: Any, below: Below) -> Any:
        if type(value) in (list, tuple):
            return [below(part) for part in value]
        if type(value) is dict:
            return self._of_names(value, below)
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
            return {"<class>": class_name(value), "code": code_of(value)}
        if hasattr(value, "get_secret_value"):
            return {"<secret>": name}
        if (text := _text_of(value)) is not None:
            return {f"<{name}>": text}
        return self._of_fields(name, value, below)

    def _of_fields(self, name: str, value: Any, below: Below) -> Any:
        if not _is_its_fields(type(value)):
            return {"<object>": self._opaque(value)}
        told = {"<of>": name, "fields": self._of_names(vars(value), below)}
        private = getattr(value, "__pydantic_private__", None)
        if isinstance(private, dict) and private:
            told["private"] = self._of_names(private, below)
        if code := code_of(type(value)):
            told["code"] = code
        return told

    def _of_function(self, function: FunctionType, below: Below) -> Any:
        told = {
            "<function>": f"{function.__module__}.{function.__qualname__}",
            "code": _digest(_code_of_function(function)),
        }
        kept = [function.__defaults__, function.__kwdefaults__]
        kept += [_content(cell) for cell in function.__closure__ or ()]
        if any(part is not None for part in kept):
            told["with"] = below(kept)
        return told

    def _of_names(self, named: dict[Any, Any], below: Below) -> Any:
        if all(isinstance(name, str) for name in named):
            return {
                name: {"<secret>": ""} if SECRET_NAME.search(name) else below(value)
                for name, value in sorted(named.items())
            }
        return {"<dict>": [[below(name), below(value)] for name, value in named.items()]}


def _text_of(value: Any) -> str | None:
    """The text that stands for a value of a simple kind; None where it is of no such kind."""
    if isinstance(value, bytes):
        return hashlib.blake2b(value, digest_size=8).hexdigest()
    if isinstance(value, re.Pattern):
        return f"{value.pattern!r} {value.flags}"
    if hasattr(type(value), "__members__") and hasattr(value, "name"):
        return str(value.name)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int | float | range) or type(value).__module__ in _WRITTEN_IN_FULL:
        return repr(value)
    return None


def class_name(cls: type) -> str:
    """The class's name with its module."""
    return f"{cls.__module__}.{cls.__qualname__}"


def code_of(cls: type) -> str | None:
    """A digest of the code that the notebook, or a module beside it, gives the class; None where none does.

    - Comments and layout make no difference, and neither does running the cell or loading the module again.
    - What is installed has no code: its name is enough.
    """
    known = _codes.get(cls)
    if known is None or any(_load_of(module) is not load for module, load in known[0].items()):
        own = [part for part in cls.__mro__ if _is_own(part.__module__)]
        loads = {part.__module__: _load_of(part.__module__) for part in own}
        digest = _digest("\n".join(_class_text(part) for part in own)) if own else None
        known = _codes[cls] = loads, digest
    return known[1]


def _load_of(module: str) -> Any:
    """What stands for the module's latest load: `%autoreload` puts new code into the classes of before."""
    return getattr(sys.modules.get(module), "__spec__", None)


def _is_own(module: str) -> bool:
    """Whether the module is the notebook, or one that is nowhere installed."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return module == "__main__" or (isinstance(file, str) and not _is_installed(file))


@lru_cache(maxsize=1024)
def _is_installed(file: str) -> bool:
    paths = Path(file), Path(file).resolve()  # some installers make links to a folder of their own
    return any(
        not _INSTALLED.isdisjoint(path.parts) or any(map(path.is_relative_to, _STANDARD_LIBRARY))
        for path in paths
    )


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


def _class_text(cls: type) -> str:
    lines = [cls.__qualname__]
    for name, member in sorted(vars(cls).items()):
        lines += [f"{name} {text}" for text in _member_texts(name, member)]
    fields = vars(cls).get("__pydantic_fields__") or {}
    annotations = vars(cls).get("__annotations__", {})
    for name, kind in annotations.items():
        lines.append(f"{name}: {kind} = {_plain_text(getattr(fields.get(name), 'default', None))}")
    return "\n".join(lines)


def _member_texts(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    if isinstance(member, property):
        yield from (_code_of_function(part) for part in (member.fget, member.fset) if part is not None)
    elif isinstance(getattr(member, "__wrapped__", getattr(member, "func", member)), FunctionType):
        yield _code_of_function(getattr(member, "__wrapped__", getattr(member, "func", member)))
    elif not name.startswith(("__", "_abc_")) and name not in _OF_CLASSES:
        yield _plain_text(member)


def _plain_text(value: Any) -> str:
    return json.dumps(Description(lambda opaque: class_name(type(opaque))).of(value), sort_keys=True)


def _code_of_function(function: Any) -> str:
    """The function's source without comments and layout; its byte code where there is no source.

    - The source of a module may have been edited since it was loaded: there, both.
    """
    source = _source_of_function(function)
    module = getattr(function, "__module__", None)
    if module in (None, "__main__") or not _is_own(module) or not hasattr(function, "__code__"):
        return source
    return f"{source} {_byte_code(function.__code__)}"


def _source_of_function(function: Any) -> str:
    try:
        source = inspect.getsource(function)
        if function.__name__ == "<lambda>":  # its lines hold more than itself
            return _byte_code(function.__code__)
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        return " ".join(token.string for token in tokens if token.type not in _LAYOUT)
    except (OSError, TypeError, SyntaxError, tokenize.TokenError, AttributeError):
        return _byte_code(function.__code__) if hasattr(function, "__code__") else repr(type(function))


def _byte_code(code: CodeType) -> str:
    constants = [
        _byte_code(part) if isinstance(part, CodeType) else _constant(part) for part in code.co_consts
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _constant(value: Any) -> str:
    return repr(sorted(value, key=repr)) if isinstance(value, frozenset) else repr(value)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


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
