"""Why a call was not a hit, as `%llmcache why` shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from llmcache_jupyter.caches.llm_string import redact
from llmcache_jupyter.caches.prompt import asked
from llmcache_jupyter.views.format import short
from llmcache_jupyter.views.style import safe, styled, visible

if TYPE_CHECKING:
    from llmcache_jupyter.session.difference import Difference
    from llmcache_jupyter.session.explain import Explanation

_CSS = """
.llmcache ul.llmcache-differences { margin: 4px 0; padding-left: 1.4em; }
.llmcache ul.llmcache-differences li { margin: 2px 0; }
.llmcache ul.llmcache-differences div { white-space: pre-wrap; overflow-wrap: anywhere; }
.llmcache ul.llmcache-differences del { text-decoration: none; color: var(--jp-error-color1, #c62828); }
.llmcache ul.llmcache-differences ins { text-decoration: none; color: var(--jp-success-color1, #388e3c); }
.llmcache p.llmcache-reason { margin: 4px 0; }
"""
_SHOWN = 30


class ExplanationView:
    """An explanation, as a text and as HTML. Credentials are left out of both."""

    def __init__(self, explanation: Explanation, *, cell_label: Callable[[str | None], str | None]) -> None:
        self.explanation = explanation
        call = explanation.call
        self._cell = None if call is None else cell_label(call.cell)

    @property
    def headline(self) -> str:
        """Which call it is about."""
        call = self.explanation.call
        if call is None:
            return "Why was this not a hit?"
        at = time.strftime("%H:%M:%S", time.localtime(call.at))
        model = f" of {call.model}" if call.model else ""
        cell = f" in {self._cell}" if self._cell else ""
        return f"Call {call.id}{model}{cell} at {at}: “{short(redact(asked(call.sent)), 80)}”"

    @property
    def _now(self) -> str:
        explained = self.explanation
        is_news = explained.stored_now and explained.call is not None
        return "Its answer is stored now: the next identical call is a hit." if is_news else ""

    def __repr__(self) -> str:
        lines = [self.headline, self.explanation.reason]
        for difference in self.explanation.differences[:_SHOWN]:
            lines.append(f"  - {difference.words}")
            if not _says_it_all(difference):
                lines += [f"      stored: {difference.old or '-'}", f"      asked:  {difference.new or '-'}"]
        lines += filter(None, [self._more, self._now, *(f"  ! {note}" for note in self.explanation.notes)])
        return visible("\n".join(lines))

    def _repr_html_(self) -> str:
        items = "".join(map(_item, self.explanation.differences[:_SHOWN]))
        parts = [
            f"<strong>{safe(self.headline)}</strong>",
            f"<p class='llmcache-reason'>{safe(self.explanation.reason)}</p>",
        ]
        if items:
            parts.append(f"<ul class='llmcache-differences'>{items}</ul>")
        parts += [
            f"<div class='llmcache-muted'>{safe(text)}</div>" for text in (self._more, self._now) if text
        ]
        parts += [f"<div class='llmcache-warn'>{safe(note)}</div>" for note in self.explanation.notes]
        return styled(_CSS, "".join(parts))

    @property
    def _more(self) -> str:
        more = len(self.explanation.differences) - _SHOWN
        return f"and {more} more differences" if more > 0 else ""


def _says_it_all(difference: Difference) -> bool:
    """Whether its words hold what it was and what it is."""
    values = [value for value in (difference.old, difference.new) if value]
    return all(value in difference.words for value in values) or len(values) < 2


def _item(difference: Difference) -> str:
    words = f"<div>{safe(difference.words)}</div>"
    if _says_it_all(difference):
        return f"<li>{words}</li>"
    was = f"<div class='llmcache-mono'><del>- {safe(difference.old)}</del></div>"
    now = f"<div class='llmcache-mono'><ins>+ {safe(difference.new)}</ins></div>"
    return f"<li>{words}{was}{now}</li>"
