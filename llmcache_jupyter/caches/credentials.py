"""Credentials inside prompts and answers, for what is written to be handed on.

`llm_string.redact` is for showing, where a word too many costs nothing. Here it does: an entry whose prompt
was changed no longer answers it. So a match also has to look like something that a machine made up.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from llmcache_jupyter.caches.llm_string import (
    LIKE_A_KEY,
    NAMED_SECRET,
    REDACTED,
    SECRET_NAME,
    SECRET_TEXT,
    but_for_models,
)

_MADE_UP = re.compile(r"\d|[a-z][A-Z]")  # `hf_hub_download` and `basic arithmetic` have neither
_WITH_PASSWORD = re.compile(r"[^/@\s'\"]*:[^/@\s'\"]+@")
_MORE_TEXT = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"\b(?:github_pat_|gh[ousr]_|xox[abeprs]-)[\w-]{8,}"),
    re.compile(r"\beyJ[\w-]{8,1000}\.eyJ[\w-]{8,5000}\.[\w-]+"),
)
# what only tells who asks. A `secret_word` may be what is asked about
CALLERS_NAME = re.compile(
    r"(api|access|private|secret|subscription)[-_]?key|^key$|authorization"
    r"|(secret|passw(or)?d|credentials?|cookies?)$|(^|access|auth|bearer|refresh|session|id|api)[-_]?token$",
    re.IGNORECASE,
)
_ORDINARY_NAME = re.compile("key|token", re.IGNORECASE)  # of music, or of a model's text
_EXAMPLE = re.compile(r"(?:your|my|some|the|an?)[-_].*|[A-Z_]+|x+|\W*", re.DOTALL)


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
    for pattern in _MORE_TEXT:
        text = pattern.sub(REDACTED, text)
    return NAMED_SECRET.sub(partial(_replaced_named, CALLERS_NAME), text)


def _text_without(text: str) -> str:
    for pattern, replacement in SECRET_TEXT:
        text = pattern.sub(partial(_replaced, replacement), text)
    for pattern in _MORE_TEXT:
        text = pattern.sub(REDACTED, text)
    return NAMED_SECRET.sub(partial(_replaced_named, SECRET_NAME), text)


def _replaced(replacement: str, match: re.Match[str]) -> str:
    found = match.group()
    # the middle of a longer word, as in encoded data, is no beginning of a key
    is_inside = match.string[match.start() - 1 : match.start()] in ("-", "_")
    if _WITH_PASSWORD.fullmatch(found) or (_MADE_UP.search(found) and not is_inside):
        return match.expand(replacement)
    return found


def _replaced_named(secret: re.Pattern[str], match: re.Match[str]) -> str:
    quote, name, between, value_quote, value = match.groups()
    if not secret.search(name) or not _is_secret(name, value):
        return match.group()
    return f"{quote}{name}{quote}{between}{value_quote}{REDACTED}{value_quote}"


def _is_secret(name: str, value: str) -> bool:
    if not SECRET_NAME.search(name) or value == REDACTED or _EXAMPLE.fullmatch(value):
        return False
    if re.search(r"\s", value):  # a sentence
        return False
    return not _ORDINARY_NAME.fullmatch(name) or (len(value) >= 12 and bool(_MADE_UP.search(value)))
