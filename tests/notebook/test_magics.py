"""Every subcommand of `%llmcache`, in a real shell."""

from __future__ import annotations

import re
from datetime import timedelta

import pandas as pd
import pytest

from llmcache_jupyter.session.scope import MODES
from tests.notebook.conftest import Notebook


def ids(notebook: Notebook) -> list[str]:
    return [entry.id for entry in notebook.session.entries().entries]


class TestStatus:
    def test_before_on(self, notebook: Notebook) -> None:
        ran = notebook.run("%llmcache")
        assert repr(ran.value).startswith("LLM cache off")
        assert ran.printed.count("LLM cache off") == 1

    def test_it_counts(self, filled: Notebook) -> None:
        text = repr(filled.run("%llmcache").value)
        assert re.findall(r"\n  ([\w ]+?)  +(\S+)", text)[:4] == [
            ("entries", "3"), ("hits", "1"), ("misses", "3"), ("hit rate", "25"),
        ]  # fmt: skip
        assert "<dt>hits</dt><dd>1</dd>" in filled.run("%llmcache status").value._repr_html_()

    def test_a_value_is_returned_and_not_also_printed(self, filled: Notebook) -> None:
        for line in ("", "entries", "stats", "last", "lookup x", "panel --static"):
            assert filled.run(f"got = %llmcache {line}").printed == ""
            assert filled.shell.user_ns["got"] is not None

    def test_looking_changes_no_statistics(self, filled: Notebook) -> None:
        before = filled.session.status()
        for line in ("", "entries", "stats", "last", "lookup The capital of Japan?", "panel --static"):
            filled.run(f"%llmcache {line}")
        assert filled.session.status() == before


class TestOn:
    def test_it_tells_what_happened(self, notebook: Notebook) -> None:
        assert notebook.run("%llmcache on").printed == "LLM cache on · no maximum\n"
        line = "%llmcache on --maxsize 500 --policy lru --ttl 2h --mode readonly"
        told = notebook.run(line).printed
        assert told == "LLM cache on · mode readonly · entries live 2 h · lru · at most 500 entries\n"
        assert notebook.session.active

    def test_on_again_changes_what_is_named_and_keeps_the_entries(self, filled: Notebook) -> None:
        filled.run("%llmcache on --maxsize 10 --policy lru")
        told = filled.run("%llmcache on --mode refresh").printed
        assert told == "LLM cache on · mode refresh · lru · at most 10 entries · 3 entries kept\n"
        assert filled.run("%llmcache on --maxsize none").printed.count("no maximum") == 1

    def test_a_smaller_maximum_drops_the_oldest(self, filled: Notebook) -> None:
        newest = ids(filled)[:1]
        told = filled.run("%llmcache on --maxsize 1").printed
        assert told == "LLM cache on · at most 1 entry · 1 entry kept · the 2 oldest dropped\n"
        assert ids(filled) == newest

    @pytest.mark.parametrize("option", ["--maxsize 0", "--maxsize many", "--ttl soon", "--mode fast", "500"])
    def test_a_mistake_changes_nothing(self, filled: Notebook, option: str) -> None:
        before = filled.session.status()
        filled.fails(f"%llmcache on --policy lru --mode refresh {option}")
        assert filled.session.status() == before

    def test_a_mistake_does_not_switch_on(self, notebook: Notebook) -> None:
        notebook.fails("%llmcache on --maxsize 0")
        assert not notebook.session.active

    def test_off_keeps_the_entries(self, filled: Notebook) -> None:
        assert filled.run("%llmcache off").printed == "LLM cache off · 3 entries kept\n"
        assert not filled.session.active
        assert len(filled.run("%llmcache entries").value) == 3
        assert "3 entries kept" in filled.run("%llmcache on").printed

    def test_off_twice(self, notebook: Notebook) -> None:
        assert notebook.run("%llmcache off\n%llmcache off").printed == "LLM cache off\n" * 2


class TestClear:
    def test_all(self, filled: Notebook) -> None:
        assert filled.run("%llmcache clear").printed == "3 entries cleared\n"
        assert filled.run("%llmcache clear").printed == "0 entries cleared\n"

    def test_by_model(self, filled: Notebook) -> None:
        assert filled.run("%llmcache clear --model cedar").printed == "1 entry cleared\n"
        assert filled.run("%llmcache clear --model cedar").printed == "0 entries cleared\n"
        assert len(ids(filled)) == 2

    def test_by_age(self, filled: Notebook) -> None:
        assert filled.run("%llmcache clear --older-than 7d").printed == "0 entries cleared\n"
        assert (
            filled.run("%llmcache clear --model gpt --older-than 0.000001s").printed == "2 entries cleared\n"
        )

    @pytest.mark.parametrize("line", ["clear", "entries", "lookup The"])
    def test_an_unknown_model_is_told_the_known_ones(self, filled: Notebook, line: str) -> None:
        assert (
            filled.fails(f"%llmcache {line} --model gtp") == "There is no model 'gtp' here, only cedar, gpt."
        )
        assert len(ids(filled)) == 3

    def test_nothing_is_cleared_by_mistake(self, filled: Notebook) -> None:
        for option in ("--older-than soon", "all", "--model", "--modle gpt"):
            filled.fails(f"%llmcache clear {option}")
        assert len(ids(filled)) == 3


class TestEntries:
    def test_a_frame_the_newest_first(self, filled: Notebook) -> None:
        frame = filled.run("%llmcache entries").value
        assert isinstance(frame, pd.DataFrame)
        assert list(frame.columns) == [
            "id", "stored", "cell", "model", "prompt", "answer", "tokens", "took", "hits", "last used",
        ]  # fmt: skip
        assert list(frame["prompt"]) == [f"The capital of {name}?" for name in ("Kenya", "Japan", "France")]
        assert list(frame["cell"]) == ["[3]", "[2]", "[2]"]
        assert list(frame["hits"]) == [0, 0, 1]

    @pytest.mark.parametrize(
        ("options", "countries"),
        [
            ("japan", ["Japan"]),
            ("capital of", ["Kenya", "Japan", "France"]),
            ("'capital of'", ["Kenya", "Japan", "France"]),
            ("--model gpt", ["Japan", "France"]),
            ("capital --model cedar", ["Kenya"]),
            ("--sort prompt", ["France", "Japan", "Kenya"]),
            ("--sort answer --limit 1", ["France"]),
            ("--sort hits --limit 1", ["France"]),
            ("--sort model --limit 1", ["Kenya"]),
            ("--limit 2", ["Kenya", "Japan"]),
            ("--limit none", ["Kenya", "Japan", "France"]),
            ("nothing like it", []),
        ],
    )
    def test_which_and_in_which_order(self, filled: Notebook, options: str, countries: list[str]) -> None:
        frame = filled.run(f"%llmcache entries {options}").value
        assert list(frame["prompt"]) == [f"The capital of {country}?" for country in countries]

    def test_full_texts(self, filled: Notebook) -> None:
        model, prompt = filled.model(), "long " * 200
        model(prompt)
        short = filled.run("%llmcache entries long").value
        full = filled.run("%llmcache entries long --full").value
        assert len(short["prompt"][0]) <= 80
        assert (full["prompt"][0], full["answer"][0]) == (prompt, f"re: {prompt}")
        assert prompt.strip() in full._repr_html_()

    def test_what_a_text_holds_is_shown_and_not_run(self, filled: Notebook) -> None:
        model = filled.model()
        model("<script>alert(1)</script>\x00\u202e\ud800")
        for line in ("entries script", "lookup <script>alert(1)</script>\x00\u202e\ud800", "panel --static"):
            shown = filled.shell.run_line_magic("llmcache", line)  # no source code may hold such text
            html, text = shown._repr_html_(), repr(shown)
            assert "<script>alert" not in html
            assert "&lt;script&gt;alert" in html
            assert not set("\x00\u202e\ud800") & set(html + text)

    @pytest.mark.parametrize("line", ["entries", "clear", "lookup Hello", "stats", "delete ab"])
    def test_before_on(self, notebook: Notebook, line: str) -> None:
        assert notebook.fails(f"%llmcache {line}") == "The cache was not on yet: run `%llmcache on` first."


class TestLookup:
    @pytest.mark.parametrize(
        "prompt", ["The capital of France?", "'The capital of France?'", "The capital  of France?"]
    )
    def test_a_hit(self, filled: Notebook, prompt: str) -> None:
        found = filled.run(f"%llmcache lookup {prompt}").value
        assert [entry.prompt for entry in found.entries] == ["The capital of France?"]
        for shown in (repr(found), found._repr_html_()):
            assert "Hit: 1 entry" in shown
            assert "re: The capital of France?" in shown

    def test_the_words_of_a_prompt_of_many_lines(self, filled: Notebook) -> None:
        filled.model()("Write a haiku\n\nabout caches.")
        assert filled.run("%llmcache lookup Write a haiku about caches.").value.entries

    def test_a_miss(self, filled: Notebook) -> None:
        for line in ("The capital", "What's up?", "The capital of Kenya? --model gpt"):
            found = filled.run(f"%llmcache lookup {line}").value
            assert found.entries == []
            assert repr(found).startswith("Miss: nothing is cached for")
            assert "Miss: nothing is cached for" in found._repr_html_()

    def test_of_several_models(self, filled: Notebook) -> None:
        filled.model("cedar")("The capital of France?")
        found = filled.run("%llmcache lookup The capital of France?").value
        assert [entry.model for entry in found.entries] == ["cedar", "gpt"]
        found = filled.run("%llmcache lookup The capital of France? --model gpt").value
        assert [entry.model for entry in found.entries] == ["gpt"]

    def test_a_prompt_is_taken_as_it_stands(self, filled: Notebook) -> None:
        filled.shell.user_ns["x"] = "expanded"
        filled.model()("{x} $x %x !x")
        assert filled.run("%llmcache lookup {x} $x %x !x").value.entries

    def test_a_question_can_be_assigned(self, filled: Notebook) -> None:
        filled.run("if True:\n    found = %llmcache lookup The capital of Japan?\nafter = 1")
        assert len(filled.shell.user_ns["found"].entries) == 1
        assert filled.shell.user_ns["after"] == 1


class TestDelete:
    def test_by_the_beginnings_of_ids(self, filled: Notebook) -> None:
        first, second, third = ids(filled)
        assert filled.run(f"%llmcache delete {first} {second[:6].upper()}").printed == "2 entries deleted\n"
        assert ids(filled) == [third]

    def test_an_ambiguous_or_unknown_id_deletes_nothing(self, notebook: Notebook) -> None:
        notebook.run("%llmcache on")
        model = notebook.model()
        for number in range(20):
            model(str(number))
        all_ids = ids(notebook)
        twice = next(
            first for first in (one[0] for one in all_ids) if sum(i[0] == first for i in all_ids) > 1
        )
        one = next(i for i in all_ids if i[0] != twice)
        assert "write more of the one you mean" in notebook.fails(f"%llmcache delete {one} {twice}")
        assert "No entry's id begins with 'xyz'" in notebook.fails(f"%llmcache delete {one} xyz")
        assert "No entry's id begins with ''" in notebook.fails(f"%llmcache delete {one} ''")
        assert ids(notebook) == all_ids


class TestStatsAndLast:
    def test_stats_by_model(self, filled: Notebook) -> None:
        frame = filled.run("%llmcache stats").value
        assert isinstance(frame, pd.DataFrame)
        assert frame[["entries", "hits", "misses", "stored"]].to_dict("index") == {
            "gpt": {"entries": 2, "hits": 1, "misses": 2, "stored": 2},
            "cedar": {"entries": 1, "hits": 0, "misses": 1, "stored": 1},
        }

    def test_last(self, filled: Notebook) -> None:
        assert filled.run("%llmcache last").value.headline == "Cell [3]: 1 miss · 1 stored"
        filled.run("1 + 1")
        report = filled.run("%llmcache last").value
        assert ids(filled)[0] in repr(report)
        assert ids(filled)[0] in report._repr_html_()

    def test_last_in_the_same_cell(self, filled: Notebook) -> None:
        report = filled.run("ask('new'); ask('new')\n%llmcache last").value
        assert report.headline.startswith("Cell [4]: 1 hit · 1 miss · 1 stored")

    def test_last_before_any_call(self, notebook: Notebook) -> None:
        assert repr(notebook.run("%llmcache last").value).startswith("No model call")


class TestWhy:
    def test_the_last_miss(self, filled: Notebook) -> None:
        view = filled.run("%llmcache why").value
        assert "of cedar in [3]" in repr(view)
        assert "Nothing was stored for the model cedar." in view._repr_html_()

    def test_a_prompt_and_an_id(self, filled: Notebook) -> None:
        filled.run("ask('The capital of Jersey?')")
        for what in ("The capital of Jersey?", "'The capital of Jersey?'", ids(filled)[0][:8]):
            assert "differs at character 16" in repr(filled.run(f"%llmcache why {what}").value)

    def test_a_hit(self, filled: Notebook) -> None:
        filled.run("ask('The capital of France?')")
        assert "stored now" in repr(filled.run("%llmcache why The capital of France?").value)

    def test_before_any_call(self, notebook: Notebook) -> None:
        notebook.run("%llmcache on")
        assert "No call has missed yet" in repr(notebook.run("%llmcache why").value)

    def test_mistakes(self, notebook: Notebook, filled: Notebook) -> None:
        assert "goes by 'What?'" in filled.fails("%llmcache why What?")

    def test_before_it_was_on(self, notebook: Notebook) -> None:
        assert "run `%llmcache on` first" in notebook.fails("%llmcache why")

    def test_after_it_was_switched_off(self, filled: Notebook) -> None:
        filled.run("%llmcache off")
        assert "cedar" in repr(filled.run("%llmcache why").value)


class TestHelp:
    def test_help_and_question_marks(self, notebook: Notebook) -> None:
        help_ = notebook.run("%llmcache help").printed
        assert "%llmcache lookup What is the capital of France?" in help_
        for line in ("%llmcache?", "%%llmcache?"):
            shown = notebook.run(line).printed
            assert "%llmcache entries capital --sort hits --limit 10" in shown
        assert all(mode in help_ for mode in MODES)

    def test_an_unknown_subcommand(self, notebook: Notebook) -> None:
        assert (
            notebook.fails("%llmcache entires") == "There is no subcommand 'entires'. Did you mean 'entries'?"
        )
        assert notebook.fails("%llmcache xyz") == "There is no subcommand 'xyz'. `%llmcache help` lists them."


class TestPanel:
    def test_static_and_terminal(self, filled: Notebook) -> None:
        for line in ("panel --static", "panel"):
            panel = filled.run(f"%llmcache {line}").value
            assert "The capital of Kenya?" in repr(panel)
            assert "The capital of Kenya?" in panel._repr_html_()


def test_our_own_bugs_keep_their_traceback(filled: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled.session, "status", lambda: 1 / 0)
    ran = filled.run("%llmcache")
    assert isinstance(ran.error, ZeroDivisionError)
    assert "Traceback" in ran.printed


def test_a_store_that_fails_is_one_line(filled: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(filled.session.cache.backend, "entries", fail)
    assert "OSError: disk full" in filled.fails("%llmcache entries")


class TestSettings:
    def test_they_are_the_session_s_own(self, notebook: Notebook) -> None:
        notebook.run("%config LLMCacheMagics.maxsize = 5")
        notebook.run("%config LLMCacheMagics.ttl = '1h'")
        notebook.run("%config LLMCacheMagics.policy = 'lru'")
        notebook.run("%config LLMCacheMagics.mode = 'readonly'")
        assert not notebook.session.active
        status = notebook.session.status()
        assert (status.maxsize, status.ttl, status.policy, status.mode) == (5, 3600, "lru", "readonly")
        notebook.run("%llmcache on --maxsize 7")
        assert notebook.run("%config LLMCacheMagics.maxsize").value == 7
        assert notebook.run("%config LLMCacheMagics.ttl").value == 3600
        notebook.session.activate(ttl=timedelta(minutes=1), maxsize=None)
        assert notebook.run("%config LLMCacheMagics.ttl").value == 60
        assert notebook.run("%config LLMCacheMagics.maxsize").value is None

    def test_a_change_while_on_takes_effect_at_once(self, filled: Notebook) -> None:
        filled.run("%config LLMCacheMagics.maxsize = 2")
        assert len(ids(filled)) == 2

    @pytest.mark.parametrize(
        ("setting", "told"),
        [
            ("maxsize = 0", "maxsize"),
            ("maxsize = 'many'", "maxsize"),
            ("ttl = 'soon'", "'soon' is no duration: write 90s, 15m, 1h, 7d"),
            ("ttl = -1", "greater than 0"),
            ("mode = 'fast'", "'on', 'refresh', 'readonly', 'replay', 'off'"),
            ("policy = 'random'", "'fifo', 'lru'"),
            ("report = 'always'", "'never', 'cell'"),
        ],
    )
    def test_a_mistake_is_one_line_and_changes_nothing(
        self, notebook: Notebook, setting: str, told: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        before = notebook.session.status()
        notebook.run(f"%config LLMCacheMagics.{setting}")
        (record,) = caplog.records
        assert told in record.getMessage()
        assert "\n" not in record.getMessage()
        assert notebook.session.status() == before

    def test_the_report_after_each_cell_with_calls(self, filled: Notebook) -> None:
        filled.run("%config LLMCacheMagics.report = 'cell'")
        assert filled.run("1 + 1; None").printed == ""
        assert filled.run("ask('The capital of Kenya?'); None").printed.startswith("llmcache: 1 hit · saved ")
        filled.run("%config LLMCacheMagics.report = 'never'")
        assert filled.run("ask('The capital of Kenya?'); None").printed == ""
