"""What every backend promises, as a suite: subclass CacheContract and give it an empty cache.

    class TestMine(CacheContract):
        @pytest.fixture
        def cache(self, clock: FakeClock) -> EntryCache:
            return MyCache(clock=clock)

The cache must take its time from `clock`, and hold some thousands of entries.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest

from llmcache_jupyter.caches import BaseCache, Entry, EntryCache, Generation, Key, Query
from llmcache_jupyter.caches.entry import SortColumn, entry_id


class FakeClock:
    """A clock that goes when it is told to."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def answer(text: str = "An answer.") -> list[Any]:
    return [Generation(text, {"finish_reason": "stop"})]


def chat(*messages: tuple[str, Any], **fields: Any) -> str:
    """A chat prompt as LangChain serialises it; `fields` are the last message's others."""
    names = {"human": "HumanMessage", "ai": "AIMessage", "system": "SystemMessage", "tool": "ToolMessage"}
    parts = [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", names[role]],
            "kwargs": {"content": content, "type": role},
        }
        for role, content in messages
    ]
    cast("dict[str, Any]", parts[-1]["kwargs"]).update(fields)
    return json.dumps(parts)


def configuration(model: str | None) -> str:
    """A model's configuration as LangChain serialises it."""
    pairs = [("model_name", model), ("stop", None)] if model else [("stop", None)]
    return str(pairs)


def entry(prompt: str = "p", model: str | None = "m", *, stored: float = 1_000.0, **known: Any) -> Entry:
    generations = known.pop("generations", None) or answer(known.pop("text", "An answer."))
    return Entry((prompt, configuration(model)), generations, stored, **known)


def texts(entries: list[Entry]) -> list[str]:
    return [found.key[0] for found in entries]


# pairs that are one and the same when their parts are joined carelessly
COLLIDING: list[tuple[Key, Key]] = [
    (("ab", "c"), ("a", "bc")),
    (("a", ""), ("", "a")),
    (("a:", "b"), ("a", ":b")),
    (("a\0b", "c"), ("a", "b\0c")),
    (("a\x1f", "b"), ("a", "\x1fb")),
    (("1:a", "b"), ("1", ":ab")),
    (("a", "b"), ("b", "a")),
    (("é", "x"), ("e\u0301", "x")),
    (("a", "b"), ("A", "b")),
    (("a", "b"), ("a ", "b")),
    (("a\nb", "c"), ("a\r\nb", "c")),
    (("('a', 'b')", "c"), ("('a'", " 'b')c")),
]

TRICKY = [
    "",
    " ",
    "\0",
    "línea\n\ttab",
    "quotes \" and ' and `",
    "back\\slash \\u00e9",
    "%_?*[]",
    "日本語 🎈 \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\u202ertl \u2066isolate",
    "lone surrogate \ud83d",
    "x" * 200_000,
]


class InterfaceContract:
    """What any BaseCache promises; `cache` is empty."""

    def test_an_empty_cache_misses(self, cache: BaseCache) -> None:
        assert cache.lookup("p", "m") is None

    def test_what_was_stored_is_found(self, cache: BaseCache) -> None:
        cache.update("p", "m", answer("one"))
        assert cache.lookup("p", "m") == answer("one")

    def test_storing_again_replaces(self, cache: BaseCache) -> None:
        cache.update("p", "m", answer("one"))
        cache.update("p", "m", answer("two"))
        assert cache.lookup("p", "m") == answer("two")

    def test_several_generations_stay_in_order(self, cache: BaseCache) -> None:
        cache.update("p", "m", [*answer("one"), *answer("two"), *answer("one")])
        assert cache.lookup("p", "m") == [*answer("one"), *answer("two"), *answer("one")]

    @pytest.mark.parametrize(("one", "other"), COLLIDING)
    def test_two_pairs_never_share_a_value(self, cache: BaseCache, one: Key, other: Key) -> None:
        cache.update(*one, answer("one"))
        assert cache.lookup(*other) is None
        cache.update(*other, answer("other"))
        assert cache.lookup(*one) == answer("one")
        assert cache.lookup(*other) == answer("other")

    @pytest.mark.parametrize("text", TRICKY, ids=range(len(TRICKY)))
    def test_any_text_can_be_a_key(self, cache: BaseCache, text: str) -> None:
        for key in [(text, "m"), ("p", text), (text, text)]:
            cache.update(*key, answer(str(len(key[0]))))
            assert cache.lookup(*key) == answer(str(len(key[0])))

    @pytest.mark.parametrize("empty", [[], ()])
    def test_an_empty_value_is_not_stored(self, cache: BaseCache, empty: Any) -> None:
        cache.update("p", "m", empty)
        assert cache.lookup("p", "m") is None
        cache.update("p", "m", answer())
        cache.update("p", "m", empty)
        assert cache.lookup("p", "m") == answer()

    def test_an_empty_answer_is_an_answer(self, cache: BaseCache) -> None:
        cache.update("p", "m", [Generation("")])
        assert cache.lookup("p", "m") == [Generation("")]

    def test_a_hit_is_a_list_whatever_was_stored(self, cache: BaseCache) -> None:
        cache.update("p", "m", tuple(answer()))
        assert cache.lookup("p", "m") == answer()
        assert type(cache.lookup("p", "m")) is list

    def test_clear_removes_everything_and_takes_keywords(self, cache: BaseCache) -> None:
        cache.update("p", "m", answer())
        cache.clear()
        assert cache.lookup("p", "m") is None
        cache.update("p", "m", answer())
        cache.clear(anything="goes", asynchronous=True)
        assert cache.lookup("p", "m") is None
        cache.update("p", "m", answer())
        assert cache.lookup("p", "m") == answer()

    async def test_the_async_twins_do_the_same(self, cache: BaseCache) -> None:
        assert await cache.alookup("p", "m") is None
        await cache.aupdate("p", "m", answer("one"))
        assert await cache.alookup("p", "m") == cache.lookup("p", "m") == answer("one")
        await cache.aupdate("p", "m", [])
        await cache.aupdate("q", "m", cast("list[Any]", tuple(answer("two"))))
        assert type(await cache.alookup("q", "m")) is list
        cache.update("r", "m", answer("three"))
        assert await cache.alookup("r", "m") == answer("three")
        await cache.aclear(anything="goes")
        assert [await cache.alookup(prompt, "m") for prompt in "pqr"] == [None] * 3


class CacheContract(InterfaceContract):
    """What any EntryCache promises: subclass it, and let the fixture `cache` return an empty one."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def cache(self, clock: FakeClock) -> EntryCache:
        raise NotImplementedError

    # --- get, put, touch, delete, clear, len

    def test_put_stores_all_that_is_known(self, cache: EntryCache) -> None:
        whole = entry(sent="q", took=1.5, tokens=7, cell="c", hits=2, last_used=1_001.0, stored=999.5)
        assert cache.put(whole) == 0
        assert cache.get(whole.key) == whole
        assert cache.entries().entries == [whole]

    def test_what_is_unknown_stays_unknown(self, cache: EntryCache) -> None:
        cache.put(entry())
        found = cache.get(entry().key)
        assert found is not None
        assert (found.sent, found.took, found.tokens, found.cell, found.last_used) == (None,) * 5

    def test_update_makes_an_entry_of_now(self, cache: EntryCache, clock: FakeClock) -> None:
        clock.advance(5)
        cache.update("p", configuration("m"), answer())
        assert cache.get(entry().key) == entry(stored=1_005.0)

    def test_put_replaces_and_removes_no_other(self, cache: EntryCache) -> None:
        for prompt in "abc":
            cache.put(entry(prompt))
        assert cache.put(entry("b", text="new")) == 0
        assert len(cache) == 3
        assert cache.lookup("b", configuration("m")) == answer("new")

    def test_put_all_puts_each_the_last_last(self, cache: EntryCache) -> None:
        cache.put_all([])
        cache.put(entry("0", text="before"))
        many = [entry(str(number % 20), text=str(number), stored=float(number)) for number in range(25)]
        assert cache.put_all(iter(many)) == 0
        assert {one.key: one for one in cache.entries(Query(limit=None)).entries} == {
            one.key: one for one in many
        }

    def test_stored_when_tells_it_of_those_that_are_there(self, cache: EntryCache, clock: FakeClock) -> None:
        assert cache.stored_when([]) == {}
        cache.put_all([entry("a", stored=5.5), entry("b", stored=6.5)])
        asked = [entry(prompt).key for prompt in "abc"]
        assert cache.stored_when(iter(asked)) == {asked[0]: 5.5, asked[1]: 6.5}

    def test_put_latest_leaves_what_was_stored_later(self, cache: EntryCache, clock: FakeClock) -> None:
        cache.put_all([entry(prompt, stored=5.5) for prompt in "abc"])
        moments = {"a": 5.0, "b": 5.5, "c": 6.0, "d": 1.0}
        mine = [entry(prompt, text="mine", stored=stored) for prompt, stored in moments.items()]
        assert cache.put_latest(iter(mine)) == {entry("a").key}
        assert {one.key: one for one in cache.entries(Query(limit=None)).entries} == {
            one.key: one for one in [entry("a", stored=5.5), *mine[1:]]
        }
        assert cache.put_latest([]) == set()

    def test_update_after_put_starts_anew(self, cache: EntryCache) -> None:
        cache.put(entry(hits=3, took=2.0, cell="c"))
        cache.update(*entry().key, answer("new"))
        assert cache.get(entry().key) == entry(text="new")

    def test_get_only_looks(self, cache: EntryCache) -> None:
        cache.put(entry())
        for _ in range(3):
            cache.get(entry().key)
            cache.entries(Query(text="answer"))
        assert cache.get(entry().key) == entry()
        assert cache.get(("absent", "m")) is None

    async def test_find_is_get_but_for_the_hits(self, cache: EntryCache) -> None:
        async def both(key: Key) -> list[Entry | None]:
            found = [cache.find(key), await cache.afind(key)]
            return [one and replace(one, hits=0, last_used=None) for one in found]

        cache.put(entry(text="old"))
        cache.touch(entry().key)
        cache.put(entry(took=2.0))
        cache.touch(entry().key)
        assert await both(entry().key) == [entry(took=2.0)] * 2
        assert await both(("absent", "m")) == [None] * 2
        cache.clear()
        assert await both(entry().key) == [None] * 2

    def test_touch_counts_a_hit_now(self, cache: EntryCache, clock: FakeClock) -> None:
        cache.put(entry(took=2.0))
        clock.advance(1)
        cache.touch(entry().key)
        clock.advance(1)
        cache.touch(entry().key)
        cache.touch(("absent", "m"))
        assert cache.get(entry().key) == entry(took=2.0, hits=2, last_used=1_002.0)
        assert len(cache) == 1

    def test_hits_of_an_answer_are_not_those_of_the_next_one(self, cache: EntryCache) -> None:
        cache.put(entry())
        for _ in range(3):
            cache.touch(entry().key)
        cache.put(entry(text="new"))
        assert cache.get(entry().key) == entry(text="new")
        assert cache.entries().entries == [entry(text="new")]
        cache.touch(entry().key)
        assert [one.hits for one in cache.entries().entries] == [1]

    def test_keys_are_those_of_all_entries(self, cache: EntryCache) -> None:
        assert list(cache.keys()) == []
        keys = {(f"p{number}", configuration("m")) for number in range(7)}
        for key in keys:
            cache.update(*key, answer())
        assert sorted(cache.keys()) == sorted(keys)

    def test_holds_only_what_was_stored_last(self, cache: EntryCache) -> None:
        old, new = entry(stored=1.0), entry(stored=2.0)
        assert not cache.holds(old)
        cache.put(old)
        cache.touch(old.key)
        assert cache.holds(old)
        cache.put(new)
        assert (cache.holds(old), cache.holds(new)) == (False, True)
        cache.clear()
        assert not cache.holds(new)

    def test_an_entry_that_was_handed_out_never_changes(self, cache: EntryCache) -> None:
        cache.put(entry())
        before = cache.get(entry().key)
        cache.touch(entry().key)
        cache.put(entry(text="new"))
        assert before == entry()

    def test_delete_removes_these_and_counts_them(self, cache: EntryCache) -> None:
        for prompt in "abcd":
            cache.put(entry(prompt))
        ids = [entry(prompt).id for prompt in "ac"]
        assert cache.delete([*ids, ids[0], "ffffffffffff", ""]) == 2
        assert cache.delete(iter(ids)) == 0
        assert cache.delete([]) == 0
        assert sorted(texts(cache.entries().entries)) == ["b", "d"]
        assert cache.get(entry("a").key) is None
        assert len(cache) == 2

    def test_by_id_finds_those_with_these_whole_ids(self, cache: EntryCache) -> None:
        stored = {one.id: one for one in map(entry, "abc")}
        for one in stored.values():
            cache.put(one)
        assert cache.by_id([]) == {}
        assert cache.by_id(iter(stored)) == stored
        asked = [entry("a").id, entry("none").id, entry("b").id[:6], "", "not an id", entry("c").id.upper()]
        assert cache.by_id(asked) == {entry("a").id: entry("a")}

    def test_delete_takes_whole_ids_only(self, cache: EntryCache) -> None:
        cache.put(entry())
        assert cache.delete([entry().id[:8]]) == 0
        assert len(cache) == 1

    def test_discard_removes_one_by_its_key(self, cache: EntryCache) -> None:
        for prompt in "ab":
            cache.put(entry(prompt))
        assert cache.discard(entry("a").key)
        assert not cache.discard(entry("a").key)
        assert texts(cache.entries().entries) == ["b"]

    def test_clear_leaves_nothing_to_list(self, cache: EntryCache) -> None:
        cache.put(entry())
        cache.clear()
        assert (len(cache), cache.entries().entries, cache.entries().total, cache.models()) == (0, [], 0, {})
        cache.put(entry())
        assert len(cache) == 1

    def test_an_id_is_of_the_key_alone(self, cache: EntryCache) -> None:
        cache.put(entry())
        cache.put(entry(text="new", hits=4))
        assert [found.id for found in cache.entries().entries] == [entry_id(entry().key)]
        assert len({entry_id(key) for pair in COLLIDING for key in pair}) == len(
            {key for pair in COLLIDING for key in pair}
        )

    def test_models_are_counted_the_most_frequent_first(self, cache: EntryCache) -> None:
        for prompt, model in [("a", "x"), ("b", "y"), ("c", "y"), ("d", None), ("e", "y"), ("f", None)]:
            cache.put(entry(prompt, model))
        assert list(cache.models().items()) == [("y", 3), (None, 2), ("x", 1)]

    async def test_the_async_twins_of_entries(self, cache: EntryCache, clock: FakeClock) -> None:
        assert await cache.aput(entry()) == 0
        assert await cache.aget(entry().key) == entry()
        assert await cache.aget(("absent", "m")) is None
        clock.advance(2)
        await cache.atouch(entry().key)
        touched = entry(hits=1, last_used=1_002.0)
        page = await cache.aentries(Query(text="answer"))
        assert (page.entries, page.total) == ([touched], 1)
        assert await cache.adelete([entry().id]) == 1
        assert await cache.aget(entry().key) is None

    # --- entries: what is found

    @pytest.mark.parametrize(
        "wanted",
        [
            "Grüße", "grüsse aus", "ÜBER", "日本", "🎈", 'say "hi"', "it's", "two\nlines", "a\\b", "100%",
            "under_score", "[x]", "a*b", "tab\there", "\u05e9\u05dc\u05d5\u05dd",
        ],
    )  # fmt: skip
    def test_text_is_found_in_prompts_and_answers(self, cache: EntryCache, wanted: str) -> None:
        said = 'Grüße, grüsse aus über 日本 🎈 say "hi", it\'s two\nlines a\\b 100% under_score '
        said += "[x] a*b tab\there שלום"
        prompts = [chat(("human", said)), f"A plain prompt: {said}", chat(("system", said), ("human", "?"))]
        prompts.append(chat(("human", [{"type": "text", "text": said}, {"type": "image_url"}])))
        for prompt in prompts:
            cache.put(entry(prompt, text="."))
        cache.put(entry("in the answer", text=f"... {said}"))
        cache.put(entry("other", text="other"))
        found = cache.entries(Query(text=wanted))
        assert sorted(texts(found.entries)) == sorted([*prompts, "in the answer"])
        assert found.total == 5

    @pytest.mark.parametrize("wanted", ["a_b", "a%b", "a?b", ".*", "x\\", "sayhi", '\\"', "\\u00e9", "\\n"])
    def test_text_is_no_pattern_and_no_escape(self, cache: EntryCache, wanted: str) -> None:
        cache.put(entry(chat(("human", 'a.b axb aéb\nsay "hi"')), text='a.b axb aéb\nsay "hi"'))
        assert cache.entries(Query(text=wanted)).total == 0

    def test_text_is_found_whatever_the_case(self, cache: EntryCache) -> None:
        cache.put(entry(chat(("human", "Straße nach ÅLESUND, Привет"))))
        for wanted in ["STRASSE"[:4], "ålesund", "ПРИВЕТ", "Nach ÅLE"]:
            assert cache.entries(Query(text=wanted)).total == 1, wanted

    def test_serialisation_is_not_searched(self, cache: EntryCache) -> None:
        cache.put(entry(chat(("human", "hi"))))
        for wanted in ["constructor", "lc", "HumanMessage", "langchain", "kwargs", '"content']:
            assert cache.entries(Query(text=wanted)).total == 0, wanted

    def test_roles_and_tool_calls_are_searched(self, cache: EntryCache) -> None:
        call = {"name": "weather", "args": {"city": "Łódź", "days": 3}, "id": "call_1", "type": "tool_call"}
        prompt = chat(("human", "?"), ("ai", ""), tool_calls=[call])
        cache.put(entry(prompt))
        cache.put(entry(chat(("human", "!"))))
        for wanted in ["weather(", "łódź", "days=3", 'city="Łódź"', "ai: weather"]:
            assert texts(cache.entries(Query(text=wanted)).entries) == [prompt], wanted
        assert cache.entries(Query(text="human: ")).total == 2

    def test_a_prompt_is_searched_as_it_was_sent(self, cache: EntryCache) -> None:
        cache.put(entry(chat(("human", "the key's")), sent=chat(("human", "the one sent"))))
        assert cache.entries(Query(text="sent")).total == 1
        assert cache.entries(Query(text="the key's")).total == 0

    def test_text_that_is_nearly_a_chat_is_plain(self, cache: EntryCache) -> None:
        for prompt in ['[{"lc": 1, "kwargs": broken', '[{"lc": 1}]', '[{"lc": 1, "kwargs": 3}, 4]']:
            cache.put(entry(prompt))
            assert cache.entries(Query(text=prompt)).total == 1

    def test_an_empty_text_lists_all(self, cache: EntryCache) -> None:
        cache.put(entry())
        assert cache.entries(Query(text="")).total == 1

    def test_filters_meet(self, cache: EntryCache) -> None:
        for prompt, model, stored in [
            ("a cat", "x", 1.0),
            ("a cat", "y", 2.0),
            ("a dog", "x", 3.0),
            ("cat", None, 4.0),
        ]:
            cache.put(entry(prompt, model, stored=stored))
        assert texts(cache.entries(Query(model="x")).entries) == ["a dog", "a cat"]
        assert cache.entries(Query(model="X")).total == 0
        assert texts(cache.entries(Query(model="x", text="cat")).entries) == ["a cat"]
        assert cache.entries(Query(stored_before=3.0)).total == 2
        assert cache.entries(Query(stored_before=3.0, model="x")).total == 1
        one = entry("a dog", "x").id
        for beginning in (one[:7], one):
            assert texts(cache.entries(Query(id=beginning)).entries) == ["a dog"]
        assert cache.entries(Query(id=one[1:])).total == 0
        assert cache.entries(Query(id=one, model="y")).total == 0

    # --- entries: in which order, and which page

    @pytest.mark.parametrize(
        ("column", "values"),
        [
            ("stored", [{"stored": 3.0}, {"stored": 1.0}, {"stored": 2.0}]),
            ("cell", [{"cell": "c"}, {"cell": "a"}, {"cell": "b"}, {}]),
            ("answer", [{"text": "C"}, {"text": "a"}, {"text": "b"}]),
            ("tokens", [{"tokens": 30}, {"tokens": 0}, {"tokens": 9}, {}]),
            ("took", [{"took": 3.5}, {"took": 0.0}, {"took": 0.5}, {}]),
            ("hits", [{"hits": 11}, {"hits": 0}, {"hits": 2}]),
            ("last_used", [{"last_used": 9.0}, {"last_used": 1.0}, {"last_used": 2.0}, {}]),
        ],
    )
    def test_each_column_sorts_both_ways_with_the_unknown_last(
        self, cache: EntryCache, column: SortColumn, values: list[dict[str, Any]]
    ) -> None:
        for number, known in enumerate(values):
            cache.put(entry(str(number), **known))
        unknown = ["3"][: len(values) - 3]
        ascending = cache.entries(Query(sort=column, descending=False))
        assert texts(ascending.entries) == ["1", "2", "0", *unknown]
        descending = cache.entries(Query(sort=column))
        assert texts(descending.entries) == ["0", "2", "1", *unknown]
        assert texts(cache.entries(Query(sort=column, offset=1, limit=2)).entries) == ["2", "1"]

    def test_prompts_and_models_sort_as_they_read(self, cache: EntryCache) -> None:
        prompts = [chat(("human", text)) for text in ("Über", "alpha", "Beta")]
        for prompt, model in zip(prompts, ("z", "y", None), strict=True):
            cache.put(entry(prompt, model))
        assert texts(cache.entries(Query(sort="prompt", descending=False)).entries) == [
            prompts[1], prompts[2], prompts[0],
        ]  # fmt: skip
        for descending, order in [(True, [0, 1, 2]), (False, [1, 0, 2])]:
            found = cache.entries(Query(sort="model", descending=descending)).entries
            assert texts(found) == [prompts[index] for index in order]

    def test_the_newest_come_first_unless_told_otherwise(self, cache: EntryCache) -> None:
        for moment in (5.0, 3.0, 9.0, 1.0):
            cache.put(entry(str(moment), stored=moment))
        assert texts(cache.entries().entries) == ["9.0", "5.0", "3.0", "1.0"]

    def test_an_entry_stored_again_is_the_newest(self, cache: EntryCache, clock: FakeClock) -> None:
        for prompt in "abca":
            cache.update(prompt, "m", answer())
            clock.advance(1)
        assert texts(cache.entries().entries) == ["a", "c", "b"]

    @pytest.mark.parametrize("query", [Query(), Query(text="prompt"), Query(sort="hits"), Query(model="m")])
    def test_pages_hold_each_entry_once(self, cache: EntryCache, query: Query) -> None:
        for number in range(25):
            cache.put(entry(f"prompt {number}", stored=float(number // 3), hits=number % 4))
        seen: list[str] = []
        for offset in range(0, 30, 10):
            page = cache.entries(replace(query, offset=offset, limit=10))
            assert page.total == 25
            seen += texts(page.entries)
        assert len(seen) == 25
        assert len(set(seen)) == 25
        assert seen == texts(cache.entries(replace(query, limit=None)).entries)

    def test_pages_at_the_edges(self, cache: EntryCache) -> None:
        for number in range(60):
            cache.put(entry(str(number), stored=float(number)))
        for text in (None, "answer"):
            assert len(cache.entries(Query(text=text)).entries) == 50
            assert len(cache.entries(Query(text=text, limit=None)).entries) == 60
            assert texts(cache.entries(Query(text=text, offset=58)).entries) == ["1", "0"]
            for query in (
                Query(text=text, offset=60),
                Query(text=text, offset=999),
                Query(text=text, limit=0),
            ):
                page = cache.entries(query)
                assert (page.entries, page.total) == ([], 60)
