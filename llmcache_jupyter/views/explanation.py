"""Why a call was not a hit, as `%llmcache why` shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

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


class ShownDifference(NamedTuple):
    """A difference in words; and what was stored and what was asked, as far as the words don't hold it."""

    words: str
    stored: str | None = None
    asked: str | None = None


class ExplanationView:
    """An explanation, as a text, as HTML, and as the sentences they are made of. Without credentials."""

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
    def differences(self) -> list[ShownDifference]:
        """The first of the differences."""
        shown = self.explanation.differences[:_SHOWN]
        return [ShownDifference(difference.words, *difference.excerpts) for difference in shown]

    @property
    def asides(self) -> list[str]:
        """What there is to say beside the reason: how many more differences, and what is so by now."""
        asides: list[str] = []
        more = len(self.explanation.differences) - _SHOWN
        if more > 0:
            asides.append(f"and {more} more differences")
        return [*asides, *self.explanation.asides]

    def __repr__(self) -> str:
        lines = [self.headline, self.explanation.reason]
        lines += text_lines(self.explanation.differences[:_SHOWN])
        lines += [*self.asides, *(f"  ! {note}" for note in self.explanation.notes)]
        return visible("\n".join(lines))

    def _repr_html_(self) -> str:
        items = "".join(map(_item, self.differences))
        parts = [
            f"<strong>{safe(self.headline)}</strong>",
            f"<p class='llmcache-reason'>{safe(self.explanation.reason)}</p>",
        ]
        if items:
            parts.append(f"<ul class='llmcache-differences'>{items}</ul>")
        parts += [f"<div class='llmcache-muted'>{safe(text)}</div>" for text in self.asides]
        parts += [f"<div class='llmcache-warn'>{safe(note)}</div>" for note in self.explanation.notes]
        return styled(_CSS, "".join(parts))


def text_lines(differences: Iterable[Difference]) -> Iterator[str]:
    """The differences as lines of text, one to three each."""
    for difference in differences:
        yield f"  - {difference.words}"
        stored, asked_now = difference.excerpts
        if stored is not None:
            yield f"      stored: {stored}"
        if asked_now is not None:
            yield f"      asked:  {asked_now}"


def _item(difference: ShownDifference) -> str:
    parts = [f"<div>{safe(difference.words)}</div>"]
    if difference.stored is not None:
        parts.append(f"<div class='llmcache-mono'><del>- {safe(difference.stored)}</del></div>")
    if difference.asked is not None:
        parts.append(f"<div class='llmcache-mono'><ins>+ {safe(difference.asked)}</ins></div>")
    return f"<li>{''.join(parts)}</li>"
