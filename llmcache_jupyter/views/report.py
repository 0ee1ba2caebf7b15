"""What the calls of a cell led to: one line; and a table of them with entry ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llmcache_jupyter.views.format import UNKNOWN, count, number, seconds
from llmcache_jupyter.views.style import safe, styled, visible

if TYPE_CHECKING:
    from llmcache_jupyter.session.events import Event
    from llmcache_jupyter.session.scope import CellRun
    from llmcache_jupyter.session.statistics import Counts

_CSS = """
.llmcache table.llmcache-calls { border-collapse: collapse; margin: 4px 0 0; }
.llmcache table.llmcache-calls tr :is(th, td) { text-align: left; padding: 1px 14px 1px 0;
  font-weight: normal; }
.llmcache table.llmcache-calls tr th { color: var(--jp-ui-font-color2, #757575); }
"""
HEADINGS = ("call", "entry", "model", "took", "tokens")
SHOWN = 50


def report_line(counts: Counts) -> str:
    """What became of the calls: `2 hits · 1 miss · 1 stored · saved 3.1 s, 240 tokens`."""
    parts = []
    if counts.hits:
        parts.append(count(counts.hits, "hit"))
    if counts.misses:
        parts.append(count(counts.misses, "miss", "misses"))
    if counts.bypassed:
        parts.append(f"{count(counts.bypassed, 'call')} past the cache")
    if counts.stored:
        parts.append(f"{number(counts.stored)} stored")
    if counts.evicted:
        parts.append(f"{number(counts.evicted)} evicted")
    if saved := saved_text(counts):
        parts.append(f"saved {saved}")
    return " · ".join(parts) or "no model calls"


def saved_text(counts: Counts) -> str:
    """What the hits saved, as far as it is known: `3.1 s, 240 tokens`; empty where nothing is."""
    parts = []
    if counts.hits and counts.seconds_saved is not None:
        parts.append(seconds(counts.seconds_saved))
    if counts.hits and counts.tokens_saved is not None:
        parts.append(count(counts.tokens_saved, "token"))
    return ", ".join(parts)


class ReportView:
    """The calls of a cell, as `%llmcache last` shows them; None is that of no calls."""

    def __init__(self, run: CellRun | None) -> None:
        self.label = run.label if run else None
        self.headline = _headline(run)
        calls = _calls(run.events if run else [])
        self.calls = calls[-SHOWN:]
        self.left_out = len(calls) - len(self.calls)

    def __repr__(self) -> str:
        rows = [HEADINGS, *map(_cells, self.calls)] if self.calls else []
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return visible("\n  ".join([self.headline, *self._more(), *lines]))

    def _repr_html_(self) -> str:
        heading = "".join(f"<th>{name}</th>" for name in HEADINGS)
        rows = "".join(
            f"<tr>{''.join(f'<td>{safe(cell)}</td>' for cell in _cells(call))}</tr>" for call in self.calls
        )
        table = f"<table class='llmcache-calls'><tr>{heading}</tr>{rows}</table>" if rows else ""
        more = "".join(f"<div class='llmcache-muted'>{safe(line)}</div>" for line in self._more())
        return styled(_CSS, f"<strong>{safe(self.headline)}</strong>{more}{table}")

    def _more(self) -> list[str]:
        return [f"The latest {SHOWN} calls:"] if self.left_out else []


@dataclass
class _Call:
    what: str
    id: str
    model: str | None
    seconds: float | None = None
    tokens: int | None = None


def _headline(run: CellRun | None) -> str:
    if run is None:
        return "No model call has come to the cache yet. `%llmcache` tells whether it is on."
    where = f"Cell {run.label}" if run.label.startswith("[") else f"Calls {run.label}"
    return f"{where}: {report_line(run.counts)}"


def _calls(events: Iterable[Event]) -> list[_Call]:
    """The events as calls: that an answer was stored belongs to the call that missed."""
    calls: list[_Call] = []
    waiting: dict[str, list[_Call]] = {}
    event: Any
    for event in list(events):
        kind = type(event).__name__  # the classes are the session's, which no view imports
        if kind == "Stored" and waiting.get(event.id):
            call = waiting[event.id].pop(0)
            call.what, call.seconds, call.tokens = f"{call.what}, stored", event.seconds, event.tokens
        elif kind == "Miss":
            calls.append(_Call(_MISSES[event.reason], event.id, event.model))
            waiting.setdefault(event.id, []).append(calls[-1])
        elif kind in ("Hit", "Stored"):
            calls.append(_Call(kind.lower(), event.id, event.model, event.seconds, event.tokens))
    return calls


_MISSES = {
    "absent": "miss",
    "refresh": "refresh",
    "off": "past the cache",
    "replay": "miss in replay",
    "unreachable": "could not reach the cache",
    "failed": "miss, the store failed",
}


def _cells(call: _Call) -> tuple[str, ...]:
    return (call.what, call.id, call.model or UNKNOWN, seconds(call.seconds), number(call.tokens))
