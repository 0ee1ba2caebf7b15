"""What mode replay says of a call that it does not answer: the CacheMissError, before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from llmcache_jupyter.caches import EntryCache
from llmcache_jupyter.caches.llm_string import redact
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.clients.langchain_bypasses import Bypass
from llmcache_jupyter.errors import CacheMissError
from llmcache_jupyter.session.difference import in_all
from llmcache_jupyter.session.explain import explain
from llmcache_jupyter.session.missed import MissedCall, MissedCalls
from llmcache_jupyter.session.traps import name_of, spoken_name
from llmcache_jupyter.views.explanation import text_lines
from llmcache_jupyter.views.format import count
from llmcache_jupyter.views.style import visible

_MOST_COMPARED = 10_000  # entries: to find the nearest of them takes some hundredths of a second
_SHOWN, _NAMED = 3, 20

_RECORD = (
    "To record it, run the cell once with `%%llmcache on` as its first line (or `%llmcache on --mode on` "
    "for the session), with a key for the model. `%llmcache save FILE` then writes the file that you replay "
    "anew. "
)

INSTEAD: dict[Bypass, str] = {
    "uncached": "It has `cache=False`: leave that out",
    "own cache": "It has a cache of its own, `cache=...`: leave that out",
    "displaced": "Other code has set LangChain's global cache: run `%llmcache on`",
    "streamed": "LangChain caches no `.stream` or `.astream`: use `.invoke` or `.ainvoke`",
}
"""What keeps a call from the cache, and what to do."""


def miss_error(call: MissedCall, backend: EntryCache, missed: MissedCalls) -> CacheMissError:
    """Of a call that nothing in `backend` answers, or that it could not."""
    prompt = asked(call.sent)
    of = f"this call of {call.model or 'an unnamed model'}: {_beginning(prompt)!r}"
    if call.reason == "failed":
        text = (
            f"Mode replay, and the store failed ({call.error}), so it could not answer {of}. "
            "Nothing was sent. Mend the store, or name another: `%llmcache on --store ...`."
        )
    else:
        known = _compared(call, backend, missed) if call.fate is None else f" {call.fate.in_words(call.at)}"
        notes = "".join(f" {note}" for note in call.out_of_reach)
        end = "\n" if "\n" in known else " "
        record = "" if call.fate is not None and call.fate.tells_what_to_do else _RECORD
        text = (
            f"Mode replay, and nothing is stored for {of}.{notes}{known}{end}"
            f"Nothing was sent. {record}`%llmcache why` tells more."
        )
    return CacheMissError(text, model=call.model, prompt=prompt)


def caught_error(calls: Sequence[MissedCall]) -> CacheMissError:
    """Of calls that were not answered in a cell that went on, as its code caught their errors."""
    first = calls[0]
    return CacheMissError(
        f"Mode replay, and {unanswered_text(calls)} Its code went on, and nothing was sent: what the cell "
        "shows may be another model's answer, or an error's text. `%llmcache why` tells what differs from "
        "the nearest entry.",
        model=first.model,
        prompt=asked(first.sent),
    )


def unanswered_text(calls: Sequence[MissedCall]) -> str:
    """A sentence that names the calls of a cell that were not answered."""
    prompts = ", ".join(repr(_beginning(asked(call.sent))) for call in calls[:_NAMED])
    more = f" and {len(calls) - _NAMED} more" if len(calls) > _NAMED else ""
    return f"{count(len(calls), 'call')} of this cell had no stored answer: {prompts}{more}."


def bypass_error(model: Any, prompt: str, bypass: Bypass) -> CacheMissError:
    """Of a call that goes past the cache."""
    return CacheMissError(
        f"Mode replay, and this call of {spoken_name(model)} cannot reach the cache: {_beginning(prompt)!r}. "
        f"Nothing was sent. {INSTEAD[bypass]} to have it recorded and replayed. `%%llmcache off` as the "
        "cell's first line sends it.",
        model=name_of(model),
        prompt=prompt,
    )


def _compared(call: MissedCall, backend: EntryCache, missed: MissedCalls) -> str:
    """In what the call differs from the nearest entry: who reads a log cannot ask for it."""
    with suppress(Exception):  # a store that fails tells of itself
        if len(backend) <= _MOST_COMPARED:
            explanation = explain(call, backend, missed)
            if explanation.nearest is None:
                return "" if call.out_of_reach else f" {explanation.reason}"
            found = explanation.differences
            lines = [f" The nearest, entry {explanation.nearest}, differs in {in_all(found)}:"]
            lines += text_lines(found[:_SHOWN])
            if len(found) > _SHOWN:
                lines.append(f"  - and {len(found) - _SHOWN} more")
            return visible("\n".join(lines))
    return ""


def _beginning(prompt: str) -> str:
    prompt = redact(prompt)
    return prompt if len(prompt) <= 120 else prompt[:119] + "…"
