"""A DataFrame whose texts are shown whole."""

from __future__ import annotations

import pandas as pd

from llmcache_jupyter.views.wide_frame import WideFrame

LONG = "word " * 40


def test_texts_are_shown_whole_and_the_option_stays() -> None:
    frame = WideFrame({"text": [LONG]})
    before = pd.get_option("display.max_colwidth")
    assert LONG.strip() in (frame._repr_html_() or "")
    assert pd.get_option("display.max_colwidth") == before


def test_what_is_made_of_it_is_shown_so_too() -> None:
    frame = WideFrame({"text": [LONG, "short"], "n": [1, 2]})
    for made in (frame[["text"]], frame.sort_values("n"), frame[frame["n"] == 1]):
        assert isinstance(made, WideFrame)
        assert LONG.strip() in (made._repr_html_() or "")


def test_controls_are_shown_and_the_data_is_as_it_is() -> None:
    hostile = "<b>\x00\u202e\ud800"
    frame = WideFrame({"text": [hostile]})
    shown = (frame._repr_html_() or "") + repr(frame)
    assert not set("\x00\u202e\ud800") & set(shown)
    assert "&lt;b&gt;\\x00\\u202e\\ud800" in shown
    assert frame["text"][0] == hostile
