"""A page of entries as HTML and text: what it says, and that nothing in it does anything."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from llmcache_jupyter.caches import Entry, Generation, Page
from llmcache_jupyter.views.format import number
from llmcache_jupyter.views.frames import ENTRY_COLUMNS, entries_frame
from llmcache_jupyter.views.table import COLUMNS, cells, entries_html, entries_text, moment

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)> \x00 \x1b[31m \u202e \ud800 '\"&"


def entry(prompt: str = "Which town?", answer: str = "Lima", **known: object) -> Entry:
    return Entry((prompt, "[('model', 'small')]"), [Generation(answer)], 1_700_000_000, **known)  # type: ignore[arg-type]


class Elements(HTMLParser):
    """The names of all elements of an HTML text, and of all attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}


def test_columns_are_those_of_the_frame() -> None:
    assert [column.name for column in COLUMNS] == ENTRY_COLUMNS == list(entries_frame([entry()]).columns)


def test_a_row_says_what_is_known_and_dashes_the_rest() -> None:
    assert cells(entry()) == [
        entry().id, moment(1_700_000_000), "–", "small", "Which town?", "Lima", "–", "–", "0", "–",
    ]  # fmt: skip
    known = entry(cell="c1", tokens=12_500, took=1.25, hits=3, last_used=1_700_000_060)
    assert cells(known, cell_label=lambda cell: f"[{cell}]")[2:] == [
        "[c1]", "small", "Which town?", "Lima", number(12_500), "1.2 s", "3", moment(1_700_000_060),
    ]  # fmt: skip


@pytest.fixture
def _in_berlin() -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("the time zone cannot be set")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_berlin")
def test_times_are_those_of_the_clock_on_the_wall_of_that_day() -> None:
    winter, summer = 1_768_474_800.5, 1_784_109_600.5
    frame = entries_frame([entry(), replace(entry(), stored=winter, last_used=summer)])
    shown = moment(winter), moment(summer)
    assert shown == ("2026-01-15 12:00:00", "2026-07-15 12:00:00")
    assert tuple(map(str, frame.loc[1, ["stored", "last used"]])) == shown
    assert frame["last used"].isna().tolist() == [True, False]


def test_long_texts_become_one_short_line() -> None:
    row = cells(entry("first\n\nsecond " * 100, "x" * 1_000_000))
    assert row[4].startswith("first second first")
    assert all(len(text) <= 160 and "\n" not in text for text in row)


def test_html_holds_the_page_and_says_how_much_is_left() -> None:
    html = entries_html(Page([entry(), entry("Which river?", "Nile")], 1_200))
    assert "Which river?" in html
    assert f"2 of {number(1_200)} entries" in html
    assert Elements(html).names.count("tr") == 3


def test_text_has_a_line_an_entry() -> None:
    lines = entries_text(Page([entry(), entry("Which river?", "Nile\nBlue and White")], 2)).splitlines()
    assert [line.split()[0] for line in lines] == ["id", entry().id, entry("Which river?").id, "2"]
    assert "Which river?" in lines[2]
    assert "Nile Blue and White" in lines[2]
    assert max(map(len, lines)) <= 120


def test_no_entries() -> None:
    assert entries_text(Page([], 0)) == "0 entries"
    assert "<table" not in entries_html(Page([], 0))


def test_hostile_entries_are_text() -> None:
    hostile = Entry((HOSTILE, f"[('model', '{HOSTILE[:40]}')]"), [Generation(HOSTILE)], 1.0, cell=HOSTILE)
    html = entries_html(Page([hostile], 1))
    found = Elements(html)
    assert set(found.names) == {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "bdi"}
    assert found.attributes <= {"class", "scope"}
    for text in (html, entries_text(Page([hostile], 1)), *cells(hostile)):
        text.encode()
        assert not {"\x00", "\x1b", "\u202e"} & set(text)
