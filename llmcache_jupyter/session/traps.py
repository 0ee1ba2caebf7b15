"""Traps: what makes calls miss for ever, or share an answer that they should not. Each is told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from llmcache_jupyter.caches import Key
from llmcache_jupyter.caches.credentials import without_credentials
from llmcache_jupyter.caches.llm_string import model_name
from llmcache_jupyter.caches.locks import new_lock
from llmcache_jupyter.clients.langchain_bypasses import Bypass

ADDRESS = re.compile(r"<[^<>]{1,300} at 0x[0-9a-fA-F]{6,}>")

_CLASS_NAME = re.compile(r'"name": "([^"]+)", "(?:private|type)"')
_ABOUT_KEYS = ("unidentified", "unstable", "changed")
_MOST = 100
_SCANNED = 200_000
"""Characters of a prompt that are looked at."""


class Traps:
    """The traps that this session's calls have met. Each is told once for each model.

    - `warn`: shows the user a warning.
    - No text holds more of a prompt or a configuration than the name of a model, a class or a field.
    """

    def __init__(self, warn: Callable[[str], object]) -> None:
        self._warn = warn
        self._told: dict[tuple[str, str], str] = {}
        self._lock = new_lock()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was told, the earliest first."""
        return tuple(self._told.copy().values())

    def notes_of(self, llm_string: str) -> tuple[str, ...]:
        """What was told about the keys of models of the name, or the class, that this configuration tells."""
        names = {model_name(llm_string), *_CLASS_NAME.findall(llm_string)} - {None}
        return tuple(
            text
            for (trap, who), text in self._told.copy().items()
            if trap.startswith(_ABOUT_KEYS) and names & {who, *re.split(r"[ ()]+", who)}
        )

    def unidentified(self, model: Any) -> None:
        """LangChain's configuration string of this model holds nothing that tells it from others."""
        self._tell("unidentified", model, _UNIDENTIFIED)

    def unstable(self, model: Any) -> None:
        """A field of this model holds an object that no data stands for."""
        self._tell("unstable", model, _UNSTABLE)

    def changed(self, model: Any, fields: Iterable[str]) -> None:
        """A field was changed after LangChain had written the model down."""
        names = ", ".join(f"`{name}`" for name in fields)
        self._tell(f"changed {names}", model, _CHANGED.replace("{fields}", names or "a field"))

    def bypassed(self, model: Any, bypass: Bypass) -> None:
        """Calls of this model do not reach the cache."""
        if bypass != "displaced":  # the status tells that as long as it is so
            self._tell(bypass, model, _BYPASSED[bypass])

    def look_at(
        self, prompt: str, llm_string: str, model: str | None, key: Key | None = None
    ) -> tuple[str, ...]:
        """Tell what in a call that was not a hit, as LangChain hands it over, is a trap. Returns it, too.

        - `key`: the call's, where it is another: of an address that is no part of it nothing is told.
        """
        held = []
        asked, configured = key or (prompt, llm_string)
        for where, text, keyed in (
            ("prompt", prompt[:_SCANNED], asked[:_SCANNED]),
            ("configuration", llm_string, configured),
        ):
            if " at 0x" in keyed and ADDRESS.search(keyed):
                held.append(self._tell(f"address in {where}", model, _ADDRESS.replace("{where}", where)))
            if without_credentials(text) != text:
                held.append(self._tell(f"credential in {where}", model, _CREDENTIAL[where]))
        return tuple(held)

    def _tell(self, trap: str, model: Any, text: str) -> str:
        key = (trap, spoken_name(model))
        text = text.replace("{who}", key[1])
        with self._lock:
            if key in self._told or len(self._told) >= _MOST:
                return text
            self._told[key] = text
        self._warn(text)
        return text


_UNIDENTIFIED = (
    "{who}: LangChain's configuration string says nothing about this model but its kind. Here such models "
    "are told apart by their class, its code with the functions and constants that it uses, and their "
    "fields; what an answer depends on besides (a list or an object in a global variable, a file) is not "
    "seen. `cache=False` on the model takes it out."
)
_UNSTABLE = (
    "{who}: a field of this model holds an object that cannot be told from others by its data. Its "
    "answers are hits for this very object, in this kernel alone, also after something inside it changed. "
    "Make the field plain data, or leave it out of the description: `Field(exclude=True)`."
)
_CHANGED = (
    "{who}: {fields} changed after the model's first call (or in a copy of it), and LangChain keeps the "
    "description of before. Here the key follows the change; another cache would give the old answer. A "
    "new model object is safe everywhere."
)
_ADDRESS = (
    "{who}: a call's {where} holds the memory address of an object (`<... at 0x...>`), which is another "
    "one in each kernel: such a call is never a hit after a restart. Send the object's data, or a name."
)
_BYPASSED: dict[Bypass, str] = {
    "uncached": "{who}: this model has `cache=False`, so its calls never reach the cache. Leave that out to "
    "cache them.",
    "own cache": "{who}: this model has a cache of its own, which its calls ask instead of this one. Leave "
    "out `cache=...` to have them here.",
    "streamed": "{who}: LangChain does not cache calls by `.stream` or `.astream`, so they are always sent. "
    "`.invoke` and `.ainvoke` are cached.",
}

_CREDENTIAL = {
    "prompt": "{who}: a prompt holds what looks like a credential. It is stored as it is, with your text: "
    "remove it by `%llmcache delete ID`. `%llmcache save` leaves it out.",
    "configuration": "{who}: a call's configuration holds what looks like a credential. It is not stored: "
    "the key has `***` in its place. Give it to the model as its `api_key`.",
}


def spoken_name(model: Any) -> str:
    """The model as a person would call it: `ChatOpenAI (gpt-5-mini)`."""
    if model is None or isinstance(model, str):
        return model or "A model without a name"
    name = name_of(model)
    return f"{type(model).__name__} ({name})" if name else type(model).__name__


def name_of(model: Any) -> str | None:
    """What the model's fields say that it is called, `gpt-5-mini`; None where they don't."""
    fields = vars(model)
    named = (fields.get(key) for key in ("model_name", "model", "model_id"))
    return next((name for name in named if isinstance(name, str)), None)
