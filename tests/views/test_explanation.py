"""An explanation is a text and HTML that say the same, escaped and without secrets."""

from __future__ import annotations

import re

import pytest

from llmcache_jupyter.session.difference import Difference
from llmcache_jupyter.session.explain import Explanation
from llmcache_jupyter.session.missed import MissedCall
from llmcache_jupyter.views.explanation import ExplanationView

TEMPERATURE = Difference("temperature", "0", "0.2", "temperature 0 -> 0.2", told=True)
MESSAGE = Difference("message 3", "France?", "Spain?", "message 3 (human) differs at character 112")


def call(prompt: str = "What is it?", model: str | None = "gpt-5") -> MissedCall:
    return MissedCall("a1b2c3d4e5f6", (prompt, "x"), prompt, model, "cell-id", 1_000.0, "absent")


ALL = Explanation(
    call(),
    "Nothing like it.",
    "f" * 12,
    (TEMPERATURE, MESSAGE),
    notes=("A trap.",),
    asides=("It is stored now.",),
)


def view(explanation: Explanation) -> ExplanationView:
    return ExplanationView(explanation, cell_label=lambda cell: "[7]" if cell else None)


def text_of(html: str) -> str:
    return re.sub(r"<style>.*?</style>|<[^>]*>", "", html, flags=re.DOTALL)


class TestText:
    def test_all_of_it(self) -> None:
        shown = repr(view(ALL))
        first, *rest = shown.splitlines()
        assert re.fullmatch(r"Call a1b2c3d4e5f6 of gpt-5 in \[7\] at \d\d:\d\d:\d\d: “What is it\?”", first)
        assert rest == [
            "Nothing like it.",
            "  - temperature 0 -> 0.2",
            "  - message 3 (human) differs at character 112",
            "      stored: France?",
            "      asked:  Spain?",
            "It is stored now.",
            "  ! A trap.",
        ]

    def test_short_values_are_shown_though_the_words_hold_them_by_chance(self) -> None:
        short = Difference("message 3", "3", "1", "message 3 (tool) differs at character 1")
        lines = repr(view(Explanation(call(), "Far.", "f" * 12, (short,)))).splitlines()
        assert lines[-2:] == ["      stored: 3", "      asked:  1"]

    def test_the_side_that_there_is(self) -> None:
        added = view(
            Explanation(call(), "Far.", differences=(Difference("m", "", "bob", "m has another name"),))
        )
        removed = view(
            Explanation(call(), "Far.", differences=(Difference("m", "bob", None, "m has no name"),))
        )
        assert repr(added).splitlines()[2:] == ["  - m has another name", "      asked:  bob"]
        assert repr(removed).splitlines()[2:] == ["  - m has no name", "      stored: bob"]
        assert text_of(added._repr_html_()).endswith("m has another name+ bob")
        assert text_of(removed._repr_html_()).endswith("m has no name- bob")

    def test_no_call(self) -> None:
        shown = repr(view(Explanation(None, "No call has missed yet in this session.")))
        assert shown == "Why was this not a hit?\nNo call has missed yet in this session."

    def test_only_so_many_differences(self) -> None:
        shown = repr(view(Explanation(call(), "Far.", "f" * 12, (TEMPERATURE,) * 40)))
        assert shown.count("temperature") == 30
        assert "and 10 more differences" in shown

    def test_a_long_prompt_is_cut(self) -> None:
        assert len(repr(view(Explanation(call("word " * 1000), "Far.")))) < 200


class TestHtml:
    def test_the_same_as_the_text(self) -> None:
        html = view(ALL)._repr_html_()
        for part in (
            "a1b2c3d4e5f6",
            "Nothing like it.",
            "temperature 0 -&gt; 0.2",
            "France?",
            "Spain?",
            "A trap.",
            "It is stored now.",
        ):
            assert part in text_of(html)

    @pytest.mark.parametrize(
        "hostile", ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'\"><b>"]
    )
    def test_escaped(self, hostile: str) -> None:
        difference = Difference(hostile, hostile, hostile + "!", "differs")
        html = view(
            Explanation(
                call(hostile, hostile), hostile, "f" * 12, (difference,), True, (hostile,), (hostile,)
            )
        )._repr_html_()
        assert hostile not in html
        assert "<script" not in html
        assert "<img" not in html

    def test_without_secrets(self) -> None:
        shown = view(Explanation(call("My key is sk-proj-8fK3s02jXdkQ91"), "Far."))
        assert "8fK3" not in repr(shown) + shown._repr_html_()

    def test_controls_are_visible(self) -> None:
        assert "\u202e" not in repr(view(Explanation(call("a\u202eb"), "Far.")))
