"""What holds for every test: nothing leaves the machine, no key is at hand, no user's IPython is touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Browser tests use Playwright's synchronous fixtures, which can't share a process with pytest-asyncio's
collect_ignore = ["ui"]

# Contracts and fakes in the modules beside the tests explain a failed assert as a test does
pytest.register_assert_rewrite(*(f"tests.{path.stem}" for path in Path(__file__).parent.iterdir()))

# Before any test module imports LangChain, which remembers what it read
for name in list(os.environ):
    if name.startswith(("LANGCHAIN_", "LANGSMITH_", "OPENAI_")):
        del os.environ[name]
os.environ["LANGSMITH_TRACING"] = "false"

settings.register_profile("test", derandomize=True, deadline=None)
settings.register_profile("soak", max_examples=5_000, deadline=None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="many more rounds, other examples each time")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("soak" if config.getoption("--soak") else "test")


@pytest.fixture(scope="session")
def soak_factor(pytestconfig: pytest.Config) -> int:
    """How many times the usual number of rounds a test marked `soak` runs."""
    return 20 if pytestconfig.getoption("--soak") else 1


@pytest.fixture(scope="session", autouse=True)
def _own_ipython_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        yield
