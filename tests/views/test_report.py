"""What the calls of a cell led to."""

from __future__ import annotations

import pytest

from llmcache_jupyter.session.events import CallEvent, Hit, Miss, MissReason, Stored
from llmcache_jupyter.session.scope import CellRun
from llmcache_jupyter.session.statistics import Counts
from llmcache_jupyter.views.report import SHOWN, ReportView, report_line


def hit(id_: str = "a", seconds: float | None = 1.5, tokens: int | None = 20) -> Hit:
    return Hit(id_, "gpt", "c", 0.0, seconds, tokens)


def miss(id_: str = "a", reason: MissReason = "absent") -> Miss:
    return Miss(id_, "gpt", "c", 0.0, reason)


def stored(id_: str = "a", evicted: int = 0) -> Stored:
    return Stored(id_, "gpt", "c", 0.0, 2.0, 30, evicted)


def report(*events: CallEvent, label: str = "[7]") -> ReportView:
    run = CellRun("c", label)
    for event in events:
        run.note(event)
    return ReportView(run)


@pytest.mark.parametrize(
    ("counts", "line"),
    [
        (Counts(), "no model calls"),
        (Counts(hits=1, known_seconds=1.5, known_tokens=1), "1 hit · saved 1.5 s, 1 token"),
        (Counts(hits=2), "2 hits"),
        (Counts(hits=2, known_seconds=3.0), "2 hits · saved 3.0 s"),
        (Counts(misses=1, stored=1), "1 miss · 1 stored"),
        (
            Counts(misses=2, stored=2, evicted=1, bypassed=1),
            "2 misses · 1 call past the cache · 2 stored · 1 evicted",
        ),
    ],
)
def test_the_line(counts: Counts, line: str) -> None:
    assert report_line(counts) == line


def test_an_answer_stored_belongs_to_the_call_that_missed() -> None:
    view = report(miss("a"), miss("b"), stored("b"), hit("b"), stored("a"), miss("c", "refresh"), stored("c"))
    assert [(call.what, call.id) for call in view.calls] == [
        ("miss, stored", "a"), ("miss, stored", "b"), ("hit", "b"), ("refresh, stored", "c"),
    ]  # fmt: skip


def test_why_a_call_was_not_a_hit() -> None:
    view = report(miss("a", "off"), miss("b", "replay"), miss("c", "failed"))
    assert [call.what for call in view.calls] == [
        "past the cache",
        "miss in replay",
        "miss, the store failed",
    ]


def test_text() -> None:
    assert repr(report(hit("0123456789ab"), hit("ba9876543210", None, None))) == (
        "Cell [7]: 2 hits · saved 1.5 s, 20 tokens\n"
        "  call  entry         model  took   tokens\n"
        "  hit   0123456789ab  gpt    1.5 s  20\n"
        "  hit   ba9876543210  gpt    –      –"
    )
    assert repr(report(label="outside of cells")) == "Calls outside of cells: no model calls"
    assert repr(ReportView(None)).startswith("No model call has come to the cache yet.")


def test_html_has_a_row_a_call_and_escapes() -> None:
    view = report(Hit("0123", "<i>gpt</i>\x00", "c", 0.0, None, None))
    html = view._repr_html_()
    assert "<td>hit</td><td>0123</td><td>&lt;i&gt;gpt&lt;/i&gt;" in html
    assert "\x00" not in html + repr(view)
    assert "<table" not in ReportView(None)._repr_html_()


def test_the_latest_of_many() -> None:
    view = report(*(hit(str(number)) for number in range(SHOWN + 10)))
    assert (len(view.calls), view.calls[-1].id) == (SHOWN, str(SHOWN + 9))
    assert f"The latest {SHOWN} calls:" in repr(view)
    assert f"The latest {SHOWN} calls:" in view._repr_html_()


def test_a_report_stays_as_it_was() -> None:
    run = CellRun("c", "[7]")
    run.note(hit())
    view = ReportView(run)
    before = repr(view)
    run.note(hit())
    assert repr(view) == before
