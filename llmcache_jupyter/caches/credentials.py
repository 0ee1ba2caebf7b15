"""Credentials inside prompts and answers, for what is written to be handed on.

`llm_string.redact` is for showing, where a word too many costs nothing. Here it does: an entry whose prompt
was changed no longer answers it. So a match also has to look like something that a machine made up.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from llmcache_jupyter.caches.llm_string import (
    LIKE_A_KEY,
    NAMED_SECRETS,
    REDACTED,
    SECRET_NAME,
    SECRET_TEXT,
    but_for_models,
)

_MADE_UP = re.compile(r"\d|[a-z][A-Z]")  # `hf_hub_download` and `basic arithmetic` have neither
_MADE_UP_LONG = re.compile(r"(?=.*\d)(?=.*[A-Za-z])\S{12,}")
_WITH_PASSWORD = re.compile(r"[^/@\s'\"]*:[^/\s'\"]+@")
_SHORTEST_KEY = 18  # characters, with its beginning
_MORE_TEXT = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\b(?:github_pat_|gh[ousr]_|xox[abeprs]-)[\w-]{8,}"),
    re.compile(r"\b(?:pypi-|npm_|hvs\.)(?=[\w-]{0,200}\d)[\w-]{16,}"),
    re.compile(r"\beyJ[\w-]{8,1000}\.eyJ[\w-]{8,5000}\.[\w-]+"),
)
# `DB_PASSWORD=...`, `X-API-Key: ...`, `?client_secret=...`. What has a letter and a figure is no word, and
# `settings.token1` is code. No part is endless: one that begins at every word of a long text would take hours
_VALUE = r"[^\s'\",;&<>()\[\]{}]"
_ASSIGNED = re.compile(
    r"((?<!\w)(?i:(?:[a-z0-9]{1,40}[-_.]){0,4}(?:(?:api|access|account|secret)[-_]?key|secret|passw(?:or)?d|pwd"
    rf"|token|session_?id)\s*[:=]\s*['\"]?))(?!\w{{1,200}}(?:\.[a-zA-Z_]\w{{0,200}}){{1,20}}\b)"
    rf"(?={_VALUE}{{0,200}}\d)(?={_VALUE}{{0,200}}[A-Za-z]){_VALUE}{{8,4000}}+(?=['\"\s,;&<>]|\Z)"
)
# what only tells who asks, whoever gives it that name
_CALLERS_NAME = re.compile(
    r"(api|access|private|secret|subscription)[-_]?key|authorization|client[-_]?secret"
    r"|(^|access|auth|bearer|refresh|session|id|api)[-_]?token$",
    re.IGNORECASE,
)
# but for these names, which may be those of a text's token: there, only what a machine made up
_ORDINARY_NAME = re.compile(r"_*((id|session)[-_]?)?token|_*(access|private)[-_]?key", re.IGNORECASE)
# and as the name of a field of an installed model. A `secret_word` may be what is asked about
CALLERS_FIELD = re.compile(
    rf"{_CALLERS_NAME.pattern}|^key$|(secret|passw(or)?d|credentials?|cookies?)$", re.IGNORECASE
)
_SOMETIMES_SECRET = re.compile(
    r"([-_]|^)(auth|bearer|jwt|key|pass(phrase|code)?|pat|pwd|token)$", re.IGNORECASE
)
_KEY_OR_TOKEN = re.compile("key|token", re.IGNORECASE)  # of music, or of a model's text
_EXAMPLE = re.compile(
    r"(?:your|my|some|the|an?)[-_].*|[A-Z_]+|x+|\W*|string|str|text|number|integer|boolean|object|array",
    re.DOTALL,
)


def without_credentials(value: Any, name: str = "") -> Any:
    """The same text or JSON value with `***` for what looks like a credential; equal where nothing does.

    - `name`: what the value goes by in an object: `"password"` tells that a text is one.
    """
    if isinstance(value, str):
        return REDACTED if name and _is_secret(name, value) else but_for_models(_text_without, value)
    if isinstance(value, list):
        return [without_credentials(part) for part in value]
    if isinstance(value, dict):
        return {key: without_credentials(part, key) for key, part in value.items()}
    return value


def without_callers(text: str) -> str:
    """The same text with `***` for what surely is a credential, and tells the model nothing."""
    for pattern, replacement in SECRET_TEXT:
        if pattern is not LIKE_A_KEY[0]:
            text = pattern.sub(partial(_replaced, replacement), text)
    return _named_without(_more_without(text), _is_callers_secret)


def _text_without(text: str) -> str:
    for pattern, replacement in SECRET_TEXT:
        text = pattern.sub(partial(_replaced, replacement), text)
    return _ASSIGNED.sub(rf"\1{REDACTED}", _named_without(_more_without(text), _is_secret))


def is_callers(name: str, value: Any) -> bool:
    """Whether a variable or a field of the user's own by this name only tells who asks."""
    return bool(_CALLERS_NAME.search(name)) and not (
        _ORDINARY_NAME.fullmatch(name) and not _is_made_up(value)
    )


def tells_caller(name: str, value: Any) -> bool:
    """Whether what goes by this name in an object of data only tells who asks: no word would."""
    return is_callers(name, value) and not (isinstance(value, str) and not _MADE_UP.search(value))


def _more_without(text: str) -> str:
    for pattern in _MORE_TEXT:
        text = pattern.sub(REDACTED, text)
    return text


def _named_without(text: str, is_secret: Callable[[str, str], bool]) -> str:
    for pattern in NAMED_SECRETS:
        text = pattern.sub(partial(_replaced_named, is_secret), text)
    return text


def _replaced(replacement: str, match: re.Match[str]) -> str:
    found = match.group()
    scheme, _, word = found.partition(" ")
    if scheme.lower() == "basic" and not _is_login(word.strip()):
        return found
    # the middle of a longer word, as in encoded data, is no beginning of a key
    is_inside = match.string[match.start() - 1 : match.start()] in ("-", "_")
    is_short = match.re is LIKE_A_KEY[0] and len(found) < _SHORTEST_KEY
    if _WITH_PASSWORD.fullmatch(found) or (_MADE_UP.search(found) and not is_inside and not is_short):
        return match.expand(replacement)
    return found


def _is_login(word: str) -> bool:
    """Whether it is a user's name and password, as HTTP has them, and no word such as `RandomForest`."""
    try:
        return ":" in base64.b64decode(word + "=" * (-len(word) % 4)).decode()
    except ValueError:
        return False


def _replaced_named(is_secret: Callable[[str, str], bool], match: re.Match[str]) -> str:
    quote, name, between, value_quote, value = match.groups()
    if not is_secret(name, value):
        return match.group()
    return f"{quote}{name}{quote}{between}{value_quote}{REDACTED}{value_quote}"


def _is_callers_secret(name: str, value: str) -> bool:
    return tells_caller(name, value) and _is_secret(name, value)


def _is_secret(name: str, value: str) -> bool:
    if value == REDACTED or _EXAMPLE.fullmatch(value) or re.search(r"\s", value):  # the last: a sentence
        return False
    if SECRET_NAME.search(name) and not _KEY_OR_TOKEN.fullmatch(name):
        return True
    return bool(_SOMETIMES_SECRET.search(name) and _is_made_up(value))


def _is_made_up(value: Any) -> bool:
    return isinstance(value, str) and bool(_MADE_UP_LONG.fullmatch(value))
