"""Tab completion of `%llmcache`: subcommands, options, modes, policies, columns, models and ids."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from IPython.core.completer import CompletionContext, SimpleCompletion, SimpleMatcherResult, context_matcher

from llmcache_jupyter.caches import Query
from llmcache_jupyter.caches.limits import POLICIES
from llmcache_jupyter.errors import LLMCacheError
from llmcache_jupyter.notebook.arguments import COLUMNS, SUBCOMMANDS
from llmcache_jupyter.session.scope import MODES
from llmcache_jupyter.session.session import Session

_LINE = re.compile(r"\s*(?:[\w, ]+=\s*)?(?P<magic>%%?)llmcache\s+(?P<words>.*)")
_VALUES: dict[str, tuple[str, ...]] = {
    "--mode": MODES,
    "--policy": POLICIES,
    "--sort": COLUMNS,
    "--maxsize": ("none",),
    "--ttl": ("none",),
    "--limit": ("none",),
    "--older-than": (),
    "--cell": (),
}
_MAX_IDS = 200


class Completer:
    """Offers what can stand at the cursor of a `%llmcache` line."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @context_matcher(identifier="llmcache", priority=200)
    def match(self, context: CompletionContext) -> SimpleMatcherResult:
        """The matcher for `shell.Completer.custom_matchers`."""
        found = _LINE.fullmatch(context.text_until_cursor)
        if found is None:
            return {"completions": [], "suppress": False}
        *before, fragment = re.split(r"\s+", found["words"])
        offered = self._cell_words(before) if found["magic"] == "%%" else self._words(before, fragment)
        completions = [SimpleCompletion(word, type="param") for word in offered if word.startswith(fragment)]
        return {"completions": completions, "matched_fragment": fragment, "suppress": True}

    def _cell_words(self, before: list[str]) -> Iterable[str]:
        return () if before else MODES

    def _words(self, before: list[str], fragment: str) -> Iterable[str]:
        """What can follow these words of a `%llmcache` line."""
        if not before:
            return SUBCOMMANDS
        if before[-1] == "--model":
            return self._models()
        if before[-1] == "--store":
            return ("none", *_files("*.sqlite"))
        if before[-1] == "--load":
            return _files("*.jsonl")
        if before[-1] in _VALUES:
            return _VALUES[before[-1]]
        names: list[str] = []
        if before[0] == "delete":
            names = self._ids(fragment)
        elif before == ["why"]:
            names = self._ids_to_explain(fragment)
        elif before[0] in ("save", "load") and len(before) == 1:
            names = _files("*.jsonl")
        return [word for word in (*names, *_options(before[0])) if word not in before]

    def _models(self) -> list[str]:
        try:
            return [model for model in self._session.models() if model is not None]
        except LLMCacheError:
            return []

    def _ids(self, beginning: str) -> list[str]:
        try:
            # without a beginning, none is looked for: the newest of 100,000 cost a memory cache nothing
            query = Query(id=beginning or None, limit=_MAX_IDS)
            return [entry.id for entry in self._session.entries(query).entries]
        except LLMCacheError:
            return []

    def _ids_to_explain(self, beginning: str) -> list[str]:
        """Ids of calls that missed, then of the newest entries; of older ones where none of those fits."""
        recent = [*(call.id for call in self._session.cache.missed.all()), *self._ids("")]
        fitting = [name for name in dict.fromkeys(recent) if name.startswith(beginning)]
        return fitting or self._ids(beginning)


def _files(pattern: str) -> list[str]:
    return sorted(map(str, Path().glob(pattern)))


def _options(command: str) -> list[str]:
    parser = SUBCOMMANDS.get(command)
    return [] if parser is None else re.findall(r"--[\w-]+", parser.correct)
