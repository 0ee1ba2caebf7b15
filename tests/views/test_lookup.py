"""What a lookup shows."""

from __future__ import annotations

import pytest

from llmcache_jupyter.caches import Entry, Generation
from llmcache_jupyter.views.lookup import SHOWN, LookupView


def entries(count: int) -> list[Entry]:
    return [
        Entry(("Hi?", f"[('model', 'gpt-{number}')]"), [Generation(f"answer {number}")], stored=0.0)
        for number in range(count)
    ]


def view(count: int, prompt: str = "Hi?") -> LookupView:
    return LookupView(prompt, entries(count), cell_label=lambda cell: cell)


@pytest.mark.parametrize(
    ("count", "headline"),
    [
        (0, "Miss: nothing is cached for “Hi?”. `%llmcache entries WORD` searches all entries."),
        (1, "Hit: 1 entry for “Hi?”"),
        (SHOWN, f"Hit: {SHOWN} entries for “Hi?”"),
        (SHOWN + 1, f"Hit: {SHOWN + 1} entries for “Hi?”, the newest {SHOWN} of them"),
    ],
)
def test_the_headline(count: int, headline: str) -> None:
    assert view(count).headline == headline
    assert repr(view(count)).startswith(headline)
    assert headline in view(count)._repr_html_()


def test_each_entry_is_shown_in_full() -> None:
    for shown in (repr(view(2)), view(2)._repr_html_()):
        for part in ("answer 0", "answer 1", "gpt-0", "gpt-1"):
            assert part in shown
    assert f"answer {SHOWN}" not in repr(view(SHOWN + 1))


def test_a_prompt_is_text() -> None:
    miss = view(0, "<script>\x00\u202e" + "long " * 50)
    assert "&lt;script&gt;\\x00\\u202e" in miss._repr_html_()
    assert not set("\x00\u202e") & set(miss._repr_html_() + repr(miss))
    assert len(miss.headline) < 180
