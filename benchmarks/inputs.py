"""Prompts, configurations and answers as LangChain's own client makes them.

Each entry is one of four calls, a quarter of the entries each:

| call | prompt | configuration |
|---|---|---|
| a short question | one message, 170 characters | model, 250 |
| a chat | system prompt, two answered turns and a question, 2,600 | model, temperature, stop word, 280 |
| RAG | system prompt with 4,000 characters of context and a question, 4,400 | model, temperature, 270 |
| an agent | system prompt, question, tool call, tool result, 930 | model, temperature, two tools, 950 |

`langchain_core.load.dumps` and `ChatOpenAI._get_llm_string` wrote each of them once; an entry differs
from the others by the number that stands in its question.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

os.environ.setdefault("LANGSMITH_TRACING", "false")  # before LangChain is imported

from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import ChatGeneration
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

Key = tuple[str, str]

_NUMBER = "@number@"


@dataclass(frozen=True)
class Call:
    """One kind of call: its prompt, cut where the entry's number goes, and its configuration."""

    before: str
    after: str
    llm_string: str

    def key(self, number: int) -> Key:
        """The key of an entry: both strings are new, and nobody has asked for their hashes."""
        return f"{self.before}{number}{self.after}", f"{self.llm_string[:9]}{self.llm_string[9:]}"


def fresh_keys(numbers: Iterable[int]) -> list[Key]:
    """The keys of these entries, as new as those of calls made just now."""
    return [CALLS[number % len(CALLS)].key(number) for number in numbers]


def chat_model(says: str = "Paris.", **settings: Any) -> ChatOpenAI:
    """LangChain's client, with a service in this process that always says this."""
    return ChatOpenAI(model="gpt-4o-mini", api_key="unused", client=_Service(says), **settings)  # type: ignore[arg-type]


class _Service:
    """What the client calls in place of the OpenAI SDK."""

    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, says: str) -> None:
        self.says = says

    @property
    def with_raw_response(self) -> _Service:
        return self

    def create(self, **_payload: Any) -> _Service:
        return self

    def parse(self) -> dict[str, Any]:
        message = {"role": "assistant", "content": self.says, "refusal": None}
        return {
            "id": "chatcmpl-BRJ6hDMXHSqGzwJFGCLcF8YCvWkHu",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "gpt-4o-mini-2024-07-18",
            "service_tier": "default",
            "system_fingerprint": "fp_0392822090",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {
                "prompt_tokens": 24,
                "completion_tokens": 8,
                "total_tokens": 32,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            },
        }


@tool
def search_documents(query: str, limit: int = 5) -> str:
    """Search the company's documents and return the best matching passages with their titles."""
    return f"{limit} passages about {query}"


@tool
def send_report(recipient: str, title: str, body: str) -> str:
    """Send a report by mail. Ask for confirmation before you send to anyone outside of the company."""
    return f"{title} ({len(body)} characters) sent to {recipient}"


def conversation(last: str) -> list[BaseMessage]:
    """A chat's messages up to its third question, `last`."""
    return [
        SystemMessage(
            "You are a patient data analyst. Answer in short paragraphs, with code where it helps."
        ),
        HumanMessage("I have a CSV file of orders with two date columns. How do I read it?"),
        _answer("Start with `pandas.read_csv`, and give it `parse_dates` for the two date columns."),
        HumanMessage("And how do I get the sum a month for each customer?"),
        _answer("Group by customer, then `.resample('ME').sum()`: a row a month for each customer."),
        HumanMessage(last),
    ]


def _answer(text: str) -> AIMessage:
    """An earlier answer, without its id: LangChain drops that before it writes a prompt."""
    return chat_model(text, cache=False).invoke("?").model_copy(update={"id": None})


def _short_question() -> Call:
    return _call(chat_model(), [HumanMessage(f"What is the capital of country {_NUMBER}?")])


def _chat() -> Call:
    last = f"Now show it for customer {_NUMBER} only, as a bar chart."
    return _call(chat_model(temperature=0.7), conversation(last), stop=["\n\nHuman:"])


def _rag() -> Call:
    passage = (
        "Section {0}. The warranty covers defects of material and workmanship for {0} months from the day of "
        "delivery. It does not cover wear, misuse, or repairs by others. A claim names the serial number, "
        "the day of purchase and what happened; the answer comes within {0} working days. "
    )
    context = "\n\n".join(passage.format(section) for section in range(1, 16))[:4000]
    messages = [
        SystemMessage(f"Answer from the context only, and name the section.\n\nContext:\n{context}"),
        HumanMessage(f"Is the device with serial number {_NUMBER} still covered?"),
    ]
    return _call(chat_model(temperature=0), messages)


def _agent() -> Call:
    model = chat_model(temperature=0)
    search = {"name": "search_documents", "args": {"query": "revenue by region"}, "id": "call_8YvZ3xK1"}
    messages = [
        SystemMessage("You are a research agent. Use the tools until you know enough, then send a report."),
        HumanMessage(f"Send order {_NUMBER}'s region report to its account manager."),
        AIMessage("", tool_calls=[search]),
        ToolMessage("North 1,204,000; South 980,000; West 1,530,000.", tool_call_id="call_8YvZ3xK1"),
    ]
    tools: Any = model.bind_tools([search_documents, send_report])
    return _call(model, messages, **tools.kwargs)


def _call(model: ChatOpenAI, messages: Sequence[BaseMessage], **settings: Any) -> Call:
    before, after = dumps(list(messages)).split(_NUMBER)
    return Call(before, after, model._get_llm_string(**settings))


CALLS = (_short_question(), _chat(), _rag(), _agent())
ANSWER = ChatGeneration(message=_answer("Paris is the capital of France."))
