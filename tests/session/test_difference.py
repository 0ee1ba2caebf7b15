"""What differs between two calls is said in words that a person can act on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from llmcache_jupyter.session.difference import common_prefix, differences

SEARCH = {
    "name": "search",
    "description": "Search the documents",
    "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
}


def llm(stop: Any = None, tools: Any = None, more: str = "", **fields: Any) -> str:
    """A configuration as LangChain writes it."""
    model = {
        "id": ["langchain", "chat_models", "openai", "ChatOpenAI"],
        "kwargs": {"model_name": "gpt-5-mini", "temperature": 0.0, **fields},
        "name": "ChatOpenAI",
        "type": "constructor",
    }
    listed = [("stop", stop)] + ([("tools", tools)] if tools else [])
    return f"{json.dumps(model, sort_keys=True)}---{sorted(listed)}"[:-1] + f"{more}]"


def tool(**changes: Any) -> dict[str, Any]:
    return {"type": "function", "function": {**SEARCH, **changes}}


def words(old: str, new: str, *, prompts: tuple[str, str] = ("Hi", "Hi")) -> list[str]:
    return [difference.words for difference in differences((prompts[0], old), (prompts[1], new))]


def chat_words(old: list[BaseMessage], new: list[BaseMessage]) -> list[str]:
    return words("x", "x", prompts=(dumps(old), dumps(new)))


class TestConfigurations:
    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            (llm(), llm(temperature=0.2), ["temperature 0 -> 0.2"]),
            (llm(), llm(model_name="gpt-5"), ["model gpt-5-mini -> gpt-5"]),
            (
                llm(openai_api_base="http://a"),
                llm(openai_api_base="http://b"),
                ["base_url http://a -> http://b"],
            ),
            (llm(), llm(stop=["end"]), ['stop ["end"] was added']),
            (llm(seed=1), llm(), ["seed 1 was removed"]),
            (
                llm(tools=[tool()]),
                llm(tools=[tool(description="Find")]),
                ["tool `search` changed its description"],
            ),
            (llm(tools=[tool()]), llm(), ["tool `search` was removed"]),
            (llm(), llm(tools=[tool()]), ["tool `search` was added"]),
            (
                llm(tools=[tool()]),
                llm(tools=[tool(parameters={"properties": {"text": {}, "query": {"type": "integer"}}})]),
                ["tool `search` changed its parameters: `text` was added, `query` changed"],
            ),
            (
                llm(tools=[tool(), tool(name="b")]),
                llm(tools=[tool(name="b"), tool()]),
                ["the tools are in another order"],
            ),
            (
                llm(more=", ('response_format', <class 'm.A' schema 12>)"),
                llm(more=", ('response_format', <class 'm.A' schema 34>)"),
                ["structured output schema changed: the class has other fields or descriptions"],
            ),
            (llm(), llm(more=", ('response_format', <class 'm.A'>)"), ["structured output was added"]),
            (llm(model_name="b", seed=2), llm(model_name="a", seed=1), ["model b -> a", "seed 2 -> 1"]),
        ],
    )
    def test_in_words(self, old: str, new: str, said: list[str]) -> None:
        assert words(old, new) == said

    def test_of_a_class_what_can_be_told(self) -> None:
        old, new = (
            f"[('response_format', <class '__main__.Out' schema {digest}>)]" for digest in ("22f7", "8b14")
        )
        (found,) = differences(("Hi", old), ("Hi", new))
        assert (found.old, found.new) == (None, None)
        assert found.words == "structured output schema changed: the class has other fields or descriptions"

    def test_of_long_values_what_differs_is_shown(self) -> None:
        long = "Search the documents of the company. " * 10
        pairs = [
            (llm(tools=[tool(description=f"{long}Now.")]), llm(tools=[tool(description=f"{long}Then.")])),
            (llm(instructions=f"{long}Now."), llm(instructions=f"{long}Then.")),
            (llm(response_format={"a": long, "b": "Now."}), llm(response_format={"a": long, "b": "Then."})),
        ]
        for old, new in pairs:
            (found,) = differences(("Hi", old), ("Hi", new))
            assert found.old is not None
            assert found.new is not None
            assert "Now." in found.old
            assert "Then." in found.new
            assert len(found.old) <= len(found.new) <= 80
        (found,) = differences(("Hi", llm()), ("Hi", llm(instructions=long)))
        assert found.words == f"instructions {found.new} was added"
        assert found.new is not None
        assert len(found.new) <= 80

    def test_the_code_and_the_class(self) -> None:
        old, new = (
            json.dumps({"code": code, "id": ["__main__", code], "kwargs": {}}) + "---[]" for code in "ab"
        )
        assert words(old, new) == [
            "class a -> b",
            "the code of the model's class, or a function or constant that it uses, changed",
        ]

    def test_values_that_differ_in_the_last_digits(self) -> None:
        assert words(llm(temperature=0.7), llm(temperature=0.7000001)) == ["temperature 0.7 -> 0.7000001"]

    def test_a_value_is_shown_once(self) -> None:
        for old, new, shown in (
            (llm(tools=[tool()]), llm(tools=[tool(strict=True)]), (None, "true")),
            (llm(), llm(tools=[tool()]), (None, None)),
            (llm(seed=1), llm(), (None, None)),
        ):
            (found,) = differences(("Hi", old), ("Hi", new))
            assert found.excerpts == shown

    def test_without_secrets(self) -> None:
        found = differences(("", llm(headers="Bearer 8fK3s02jXd")), ("", llm(headers="Bearer 9fK3s02jXd")))
        assert [difference.words for difference in found] == ["headers changed"]
        assert "8fK3s02jXd" not in str(found)
        assert "abc1" not in str(differences(("", llm(api_key="abc1")), ("", llm(api_key="abc2"))))

    def test_any_text(self) -> None:
        assert words("custom 1", "custom 2") == ["configuration custom 1 -> custom 2"]
        assert words('{"not": "a model"', "{[") == ["the configuration is written in another form"]
        assert words("[1]", "[2]") == ["configuration [1] -> [2]"]


class TestPrompts:
    def test_a_message_differs(self) -> None:
        old = [SystemMessage("Be brief."), HumanMessage("What is the capital of France?")]
        new = [SystemMessage("Be brief."), HumanMessage("What is the capital of Spain?")]
        (found,) = differences((dumps(old), ""), (dumps(new), ""))
        assert (found.field, found.words) == ("message 2", "message 2 (human) differs at character 24")
        assert (found.old, found.new) == ("What is the capital of France?", "What is the capital of Spain?")

    def test_white_space_is_seen_where_it_differs(self) -> None:
        (found,) = differences(("a b\n\n  c", "x"), ("a b\n\tc", "x"))
        assert (found.old, found.new) == ("a·b↵↵··c", "a·b↵→c")

    @pytest.mark.parametrize("other", ["cafe\u0301", "ca\u200bf\xe9", "\ufeffcaf\xe9"])
    def test_what_looks_alike_is_told_apart(self, other: str) -> None:
        (found,) = differences(("caf\xe9", "x"), (other, "x"))
        assert (found.old, found.new) == ("caf\\xe9", ascii(other)[1:-1])

    def test_a_chat_and_a_text(self) -> None:
        chat = dumps([HumanMessage("Hi")])
        assert words("x", "x", prompts=(chat, "Hi")) == ["the prompt a chat -> a text"]
        assert words("x", "x", prompts=("Ho", chat)) == [
            "the prompt a text -> a chat", "the prompt differs at character 2"
        ]  # fmt: skip

    def test_a_short_excerpt_of_a_long_one(self) -> None:
        (found,) = differences(("a " * 500 + "one" + " b" * 500, ""), ("a " * 500 + "two" + " b" * 500, ""))
        assert found.words == "the prompt differs at character 1001"
        assert found.old is not None
        assert found.old.startswith("…")
        assert found.old.endswith("…")
        assert "one" in found.old
        assert len(found.old) < 80

    @pytest.mark.parametrize("name", ["bob", "barbara", "b"])
    def test_two_places_far_apart(self, name: str) -> None:
        between = "Lorem ipsum dolor sit amet. " * 100
        (found,) = differences(
            (f"On Monday {between} for ann.", ""), (f"On Friday {between} for {name}.", "")
        )
        last = len(f"On Friday {between} for {name}")
        assert found.words == f"the prompt differs at character 4, and last at character {last}"
        assert (found.old or "").startswith("On Monday Lorem")
        assert (found.old or "").endswith("amet. for ann.")
        assert (found.new or "").startswith("On Friday Lorem")
        assert (found.new or "").endswith(f" for {name}.")

    @pytest.mark.parametrize("inserted", ["", "Now. ", "A new sentence. " * 20])
    def test_one_place_however_long(self, inserted: str) -> None:
        text = "Lorem ipsum dolor sit amet. " * 100
        (found,) = differences((f"A{text}Old. {text}", ""), (f"A{text}{inserted}{text}", ""))
        assert found.words == f"the prompt differs at character {len(text) + 2}"

    def test_more_and_less_of_it(self) -> None:
        assert words("x", "x", prompts=("Hi", "Hi there")) == ["the prompt goes on at character 3"]
        assert words("x", "x", prompts=("Hi there", "Hi")) == ["the prompt ends at character 2"]

    def test_messages_come_and_go(self) -> None:
        one, two = HumanMessage("One?"), HumanMessage("Two?")
        assert chat_words([one], [one, AIMessage("1."), two]) == [
            "message 2 (ai) was added: '1.'",
            "message 3 (human) was added: 'Two?'",
        ]
        assert chat_words([SystemMessage("Be brief."), one], [one]) == [
            "message 1 (system) was removed: 'Be brief.'"
        ]

    def test_equal_messages_between_those_that_differ_are_not_told(self) -> None:
        between: list[BaseMessage] = [HumanMessage("My name is Ann."), AIMessage("Hello, Ann.")]
        old, new = (
            [SystemMessage(f"Today is {day}."), *between, HumanMessage(f"Is it {day}?")]
            for day in ("Monday", "Friday")
        )
        assert chat_words(old, new) == [
            "message 1 (system) differs at character 10",
            "message 4 (human) differs at character 7",
        ]

    def test_many_changed_messages_are_all_counted(self) -> None:
        old: list[BaseMessage] = [HumanMessage(f"One {number}") for number in range(61)]
        new: list[BaseMessage] = [HumanMessage(f"Two {number}") for number in range(61)]
        assert len(chat_words(old, new)) == len(chat_words(old, new[:1])) == 61

    def test_what_is_no_text(self) -> None:
        call = {"name": "f", "args": {"x": 1}, "id": "1"}
        other = {"name": "f", "args": {"x": 1}, "id": "2"}
        assert chat_words(
            [AIMessage("", tool_calls=[call]), ToolMessage("1", tool_call_id="1")],
            [AIMessage("", tool_calls=[other]), ToolMessage("1", tool_call_id="2")],
        ) == ["message 1 (ai) has another tool_calls", "message 2 (tool) has another tool_call_id"]
        assert chat_words([HumanMessage("Hi")], [SystemMessage("Hi")]) == [
            "message 1 (human -> system) is another's"
        ]

    def test_what_was_not_there_before(self) -> None:
        ((unnamed, named), (empty, filled)) = (
            (HumanMessage("Hi"), HumanMessage("Hi", name="bob")),
            (HumanMessage(""), HumanMessage("Hi")),
        )
        for old, new, shown in ((unnamed, named, "bob"), (empty, filled, "Hi")):
            (found,) = differences((dumps([old]), ""), (dumps([new]), ""))
            assert found.excerpts == (None, shown)

    def test_an_image(self) -> None:
        old, new = (
            HumanMessage([{"type": "image_url", "image_url": {"url": url}}]) for url in ("data:a", "data:b")
        )
        assert chat_words([old], [new]) == ["message 1 (human) has another content"]

    def test_without_secrets(self) -> None:
        found = differences(("key sk-8fK3s02jXdkQ91 a", ""), ("key sk-8fK3s02jXdkQ92 b", ""))
        assert "8fK3" not in str(found)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [("", "", 0), ("a", "b", 0), ("abc", "abd", 2), ("ab", "abc", 2), ("é€x", "é€y", 2)],
)
def test_common_prefix(one: str, other: str, shared: int) -> None:
    assert common_prefix(one, other) == common_prefix(other, one) == shared
