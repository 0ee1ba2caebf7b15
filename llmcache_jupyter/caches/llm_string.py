"""What an `llm_string` says: the model's name and its parameters, with secrets redacted.

LangChain writes one of two forms: `{JSON of the model}---[('stop', None), ...]`, or only the list of pairs.
Any other text is a configuration that tells nothing further.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

REDACTED = "***"

_MODEL_NAMES = ("model", "model_name", "model_id", "deployment_name", "azure_deployment", "_type")
_PAIR = re.compile(r"[\[ ]\('(\w+)', '([^']*)'\)")
_OBJECT = re.compile(r"<(?:class|function|bound method|[\w.]+ object)(?:<locals>|<lambda>|[^<>])*>")
SECRET_NAME = re.compile(
    r"(api|access|private|secret|subscription)[-_]?key|^key$|secret|passw(or)?d|authorization|credential|cookie"
    r"|(^|access|auth|bearer|refresh|session|id|api)[-_]?token$",
    re.IGNORECASE,
)
# Names of models and servers may begin so, too: `hf-mistral-7b`, `xai-grok-4`
LIKE_A_KEY = (re.compile(r"\b(sk|pk|rk|gsk|hf|xai|ghp|glpat)[-_][\w-]{8,}"), REDACTED)
# Not the words after "Basic" in a text: at least 8 characters with a figure, padding or capitals in between,
# or more than words have
_LIKE_A_CREDENTIAL = (
    r"(?=[\w+]{20}|(?=[\w.~+/=-]{8})[\w.~+/=-]{0,60}?(?:[\d=]|[a-z][A-Z][\w.~+/=-]{0,60}?[a-z][A-Z]))"
)
SECRET_TEXT = (
    (re.compile(r"(?<=://)[^/\s'\"]+@"), f"{REDACTED}@"),
    (re.compile(r"\b((?:proxy-)?authorization:\s*\w+)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(rf"\b((?i:Bearer|Basic))\s+{_LIKE_A_CREDENTIAL}[\w.~+/=-]+"), rf"\1 {REDACTED}"),
    LIKE_A_KEY,
    (re.compile(r"\bAIza[\w-]{30,}|\bAKIA[A-Z0-9]{16}\b"), REDACTED),
    (
        re.compile(r"([?&](?:api[-_]?key|key|token|access_token|sig|signature)=)[^&\s'\"]+", re.IGNORECASE),
        rf"\1{REDACTED}",
    ),
)
_MODEL_PAIR = re.compile(rf"(['\"])(?:{'|'.join(_MODEL_NAMES)})\1\s*[:,]\s*(['\"])(?:(?!\2).)*\2")
# `"name": "value"`, and the pair `('name', 'value')`; words in a list, `["password", "email"]`, are none
NAMED_SECRETS = tuple(
    re.compile(rf"{before}(['\"])([\w-]+)\1(\s*{between}\s*)(['\"])((?:(?!\4).)*)\4{after}")
    for before, between, after in (("", ":", ""), (r"(?<=\()", ",", r"(?=\))"))
)


@lru_cache(maxsize=1024)
def model_name(llm_string: str) -> str | None:
    """The model's name, or None where the configuration does not tell it."""
    model, end = serialised_model(llm_string)
    told = {name: value for name, value in _fields(model).items() if isinstance(value, str)}
    told |= {name: value for name, value in _PAIR.findall(llm_string, end) if name in _MODEL_NAMES}
    return next((told[name] for name in _MODEL_NAMES if told.get(name)), None)


@lru_cache(maxsize=256)
def parameters(llm_string: str) -> dict[str, str]:
    """The model's parameters as text, by name, with secrets redacted. For showing, not for comparing."""
    told = configuration(llm_string).items()
    return {str(name): _shown(str(name), value) for name, value in told if value is not None}


def configuration(llm_string: str) -> dict[str, Any]:
    """The model's parameters and the call's, by name. An object is the text that stands for it."""
    model, end = serialised_model(llm_string)
    fields, arguments = _fields(model), llm_string[end:].removeprefix("---")
    call = _pairs(arguments) if arguments else {}
    return fields | {name: value for name, value in call.items() if value is not None or name not in fields}


def serialised_model(llm_string: str) -> tuple[dict[str, Any], int]:
    """The model that an llm_string begins with, and where its text ends; {} where it begins with none."""
    if not llm_string.startswith("{"):
        return {}, 0
    try:
        return json.JSONDecoder().raw_decode(llm_string)
    except (ValueError, RecursionError):
        return {}, len(llm_string)


def _pairs(tail: str) -> dict[str, Any]:
    for text in (tail, _OBJECT.sub(lambda match: repr(match.group()), tail)):
        try:
            return dict(ast.literal_eval(text))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return {"configuration": tail}


def redact(text: str) -> str:
    """`text` without API keys, authorization headers and credentials in URLs."""
    return but_for_models(_redact, text)


def but_for_models(change: Callable[[str], str], text: str) -> str:
    """The text changed, but for the names of models in it: some look like a key."""
    parts, at = [], 0
    for pair in _MODEL_PAIR.finditer(text):
        parts += [change(text[at : pair.start()]), pair.group()]
        at = pair.end()
    return "".join([*parts, change(text[at:])])


def _redact(text: str) -> str:
    for pattern, replacement in SECRET_TEXT:
        text = pattern.sub(replacement, text)
    for pattern in NAMED_SECRETS:
        text = pattern.sub(_redact_named, text)
    return text


def _redact_named(match: re.Match[str]) -> str:
    quote, name, between, value_quote, _ = match.groups()
    if not SECRET_NAME.search(name):
        return match.group()
    return f"{quote}{name}{quote}{between}{value_quote}{REDACTED}{value_quote}"


def _fields(model: dict[str, Any]) -> dict[str, Any]:
    fields = model.get("kwargs")
    return fields if isinstance(fields, dict) else {}


def _shown(name: str, value: Any) -> str:
    if SECRET_NAME.search(name) or (isinstance(value, dict) and value.get("type") == "secret"):
        return REDACTED
    return redact(value if isinstance(value, str) else _compact(value))


def _compact(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return repr(value)
