"""What can go wrong, as one tree:

LLMCacheError
├── CacheMissError      replay mode met a call that no entry answers
├── CacheInactiveError  asked for entries before a cache was switched on
├── EntryNotFoundError  no entry, or more than one, goes by that id
├── InvalidSettingError a mode, duration, size or column that cannot be (also a ValueError)
├── BackendError        the store failed while it was asked to list, delete or clear
├── StoreError          a file that cannot be a store, or that failed as one; or be saved or loaded
├── EncodingError       an answer that cannot be written to a store (also a TypeError)
└── DecodingError       text that is no answer this version can read (also a ValueError)

CacheWarning            the store failed during a model call; the call itself went on
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from traceback import extract_tb, format_list

_CELL_FILE = re.compile(r'File "[^"]*[/\\]ipykernel_\d+[/\\]\d+\.py", ')
_LIBRARIES = (
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    str(Path(__file__).parent),
)


class LLMCacheError(Exception):
    """Anything this package raises on purpose. The message ends with what to do next."""


class CacheMissError(LLMCacheError):
    """Replay mode met a call that no entry answers. Nothing was sent to the model.

    - `model`: the model's name, or None where the configuration does not tell.
    - `prompt`: the prompt's last message, as a person would read it.
    """

    def __init__(self, message: str, *, model: str | None, prompt: str) -> None:
        super().__init__(message)
        self.model = model
        self.prompt = prompt

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the user's own lines that led here, without LangChain's ten frames."""
        own = [frame for frame in extract_tb(self.__traceback__) if not frame.filename.startswith(_LIBRARIES)]
        shown = (_CELL_FILE.sub("Cell, ", line).rstrip() for line in format_list(own))
        return [*shown, f"{type(self).__name__}: {self}"]


class CacheInactiveError(LLMCacheError):
    """Asked for entries or statistics before a cache was switched on."""


class EntryNotFoundError(LLMCacheError):
    """No entry, or more than one, goes by the given id."""


class InvalidSettingError(LLMCacheError, ValueError):
    """A mode, duration, size or column that cannot be. Nothing was changed."""


class BackendError(LLMCacheError):
    """The store failed while it was asked to list, delete or clear. `__cause__` is its own error."""


class StoreError(LLMCacheError):
    """A file that cannot be a store, or be saved or loaded, or that failed. What was there is as it was."""


class EncodingError(LLMCacheError, TypeError):
    """An answer that cannot be written to a store. The message names what is in the way."""


class DecodingError(LLMCacheError, ValueError):
    """Text that is no answer this version can read."""


class CacheWarning(UserWarning):
    """The store failed during a model call. The call itself went on without it."""
