"""The status as a headline, figures, a line and a card."""

from __future__ import annotations

from dataclasses import replace

import pytest

from llmcache_jupyter.session.session import Activation, Status
from llmcache_jupyter.session.statistics import Counts
from llmcache_jupyter.views.status import StatusView, activation_line, status_line

ON = Status(
    active=True,
    mode="on",
    entries=12,
    maxsize=500,
    policy="fifo",
    ttl=None,
    counts=Counts(hits=3, misses=1, stored=1, known_seconds=4.25, known_tokens=1200),
)
FRESH = Status(False, "on", 0, None, "fifo", None, Counts())


def test_the_card_s_text() -> None:
    assert repr(StatusView(ON)) == (
        "LLM cache on\n"
        "  entries       12 of 500\n"
        "  hits          3\n"
        "  misses        1\n"
        "  hit rate      75 %\n"
        "  time saved    4.2 s\n"
        "  tokens saved  1\u202f200"
    )


def test_html_and_text_say_the_same() -> None:
    html = StatusView(ON)._repr_html_()
    for line in repr(StatusView(ON)).splitlines()[1:]:
        name, value = line[2:16].strip(), line[16:].strip()
        assert f"<dt>{name}</dt><dd>{value}</dd>" in html


def test_what_is_unknown_is_a_dash() -> None:
    unknown = replace(ON, entries=None, counts=Counts(hits=3))
    text = repr(StatusView(unknown))
    assert "entries       – of 500" in text
    assert "time saved    –\n  tokens saved  –" in text
    assert "hit rate      –" in repr(StatusView(FRESH))


def test_notes_are_shown_and_escaped() -> None:
    noted = replace(ON, notes=("Other code set <b>it</b>\x00.",))
    assert "! Other code set <b>it</b>" in repr(StatusView(noted))
    html = StatusView(noted)._repr_html_()
    assert "&lt;b&gt;it&lt;/b&gt;" in html
    assert "\x00" not in html + repr(StatusView(noted))


@pytest.mark.parametrize(
    ("status", "activation", "line"),
    [
        (replace(FRESH, active=True), Activation(0, 0), "LLM cache on · no maximum"),
        (ON, Activation(12, 0), "LLM cache on · at most 500 entries · 12 entries kept"),
        (
            replace(ON, maxsize=1),
            Activation(1, 1),
            "LLM cache on · at most 1 entry · 1 entry kept · the oldest dropped",
        ),
        (
            replace(ON, mode="replay", policy="lru"),
            Activation(0, 3),
            "LLM cache on · mode replay · lru · at most 500 entries · the 3 oldest dropped",
        ),
        (
            replace(ON, store="n", maxsize=1),
            Activation(1, 1, restored=2),
            "LLM cache on · store n · at most 1 entry · restored 1 entry from n · the oldest dropped from it",
        ),
    ],
)
def test_what_switching_on_did(status: Status, activation: Activation, line: str) -> None:
    assert activation_line(status, activation) == line


def test_on_one_line() -> None:
    line = status_line(replace(ON, mode="replay"))
    assert (
        line
        == "LLM cache on · mode replay · 12 of 500 entries · 3 hits · 1 miss · saved 4.2 s, 1\u202f200 tokens"
    )
    assert status_line(FRESH) == "LLM cache off · 0 entries · 0 hits · 0 misses"
    assert "· 1 entry ·" in status_line(replace(FRESH, entries=1))
    assert "· 1 of 1 entries ·" in status_line(replace(FRESH, entries=1, maxsize=1))
