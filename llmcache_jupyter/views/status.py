"""The status of a session: one line, a text and a small card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmcache_jupyter.views.format import UNKNOWN, count, number, rate, seconds
from llmcache_jupyter.views.style import safe, styled, visible

if TYPE_CHECKING:
    from llmcache_jupyter.session.session import Activation, Status

_CSS = """
.llmcache-card { border: 1px solid var(--jp-border-color2, #8884); border-radius: 6px; padding: 8px 14px;
  display: inline-block; min-width: 18em; }
.llmcache .llmcache-card dl { display: flex; flex-wrap: wrap; gap: 4px 28px; margin: 6px 0 0; }
.llmcache .llmcache-card dl > div { display: flex; flex-direction: column-reverse; white-space: nowrap; }
.llmcache .llmcache-card dl dt { float: none; width: auto; font-size: 0.85em; font-weight: normal;
  color: var(--jp-ui-font-color2, #757575); }
.llmcache .llmcache-card dl dd { float: none; width: auto; margin: 0; font-size: 1.25em;
  font-variant-numeric: tabular-nums; }
.llmcache-card p { margin: 6px 0 0; }
"""
_LINE_CSS = """
.llmcache-light { color: var(--jp-ui-font-color3, #9e9e9e); }
.llmcache-light.llmcache-lit { color: var(--jp-success-color1, #388e3c); }
"""


class StatusView:
    """A status, as `%llmcache` shows it."""

    def __init__(self, status: Status) -> None:
        self.status = status

    def __repr__(self) -> str:
        figures = "\n".join(f"  {name:<13} {value}" for name, value in status_figures(self.status))
        notes = "".join(f"\n  ! {note}" for note in self.status.notes)
        return visible(f"{status_headline(self.status)}\n{figures}{notes}")

    def _repr_html_(self) -> str:
        figures = "".join(
            f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
            for name, value in status_figures(self.status)
        )
        notes = "".join(f"<p class='llmcache-warn'>{safe(note)}</p>" for note in self.status.notes)
        head = f"<strong>{safe(status_headline(self.status))}</strong>"
        return styled(_CSS, f"<div class='llmcache-card'>{head}<dl>{figures}</dl>{notes}</div>")


def status_headline(status: Status) -> str:
    """Whether the cache is on, and how: `LLM cache on · mode refresh · store notes.sqlite`."""
    parts = ["LLM cache on" if status.active else "LLM cache off"]
    if status.mode != "on":
        parts.append(f"mode {status.mode}")
    if status.ttl is not None:
        parts.append(f"entries live {seconds(status.ttl)}")
    if status.policy != "fifo":
        parts.append(status.policy)
    if status.store is not None:
        parts.append(f"store {status.store}")
    return " · ".join(parts)


def activation_line(status: Status, activation: Activation) -> str:
    """What switching on did: `LLM cache on · mode refresh · at most 500 entries · the 3 oldest dropped`."""
    limit = "no maximum" if status.maxsize is None else f"at most {count(status.maxsize, 'entry', 'entries')}"
    parts = [status_headline(status), limit]
    if activation.restored is not None:
        left = max(0, activation.restored - activation.dropped)
        parts.append(f"restored {count(left, 'entry', 'entries')} from {status.store}")
    elif activation.kept:
        parts.append(f"{count(activation.kept, 'entry', 'entries')} kept")
    if activation.dropped:
        oldest = "oldest" if activation.dropped == 1 else f"{number(activation.dropped)} oldest"
        where = "" if activation.restored is None else " from it"
        parts.append(f"the {oldest} dropped{where}")
    return " · ".join(parts)


def status_figures(status: Status) -> list[tuple[str, str]]:
    """The figures with their names, in the order in which they are shown."""
    counts = status.counts
    entries = number(status.entries) + (f" of {number(status.maxsize)}" if status.maxsize else "")
    return [
        ("entries", entries),
        ("hits", number(counts.hits)),
        ("misses", number(counts.misses)),
        ("hit rate", rate(counts.rate)),
        ("time saved", seconds(counts.seconds_saved)),
        ("tokens saved", number(counts.tokens_saved)),
    ]


def status_line(status: Status) -> str:
    """The status on one line, for places that have no room for more."""
    counts = status.counts
    one_of_any = status.entries == 1 and status.maxsize is None
    parts = [
        status_headline(status),
        f"{status_figures(status)[0][1]} {'entry' if one_of_any else 'entries'}",
        count(counts.hits, "hit"),
        count(counts.misses, "miss", "misses"),
    ]
    if counts.hits:
        tokens = number(counts.tokens_saved)
        saved = f"saved {seconds(counts.seconds_saved)}"
        parts.append(saved if tokens == UNKNOWN else f"{saved}, {tokens} tokens")
    return " · ".join(parts)


def status_line_html(status: Status) -> str:
    """The status line as HTML, with a light for on and off, and the notes below."""
    light = f"<span aria-hidden='true' class='llmcache-light{' llmcache-lit' * status.active}'>●</span>"
    notes = "".join(f"<div class='llmcache-warn'>{safe(note)}</div>" for note in status.notes)
    return styled(_LINE_CSS, f"{light} {safe(status_line(status))}{notes}")
