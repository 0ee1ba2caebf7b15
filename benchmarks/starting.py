"""Seconds of `import llmcache_jupyter`, `%load_ext` and `%llmcache on`, each time in a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.report import Row

_SCRIPT = """
import json, time
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell()
seconds = {}
for step in ("import llmcache_jupyter", "%load_ext llmcache_jupyter", "%llmcache on"):
    begin = time.perf_counter()
    shell.run_cell(step).raise_error()
    seconds[step] = time.perf_counter() - begin
print(json.dumps(seconds))
"""


def steps(starts: int) -> Iterator[Row]:
    """The medians, in a shell that is there already, as a kernel's is."""
    runs = [_start() for _ in range(starts)]
    for step in runs[0]:
        yield Row(step, median(run[step] for run in runs))


def _start() -> dict[str, float]:
    command = [sys.executable, "-c", _SCRIPT]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds: dict[str, float] = json.loads(output.splitlines()[-1])
    return seconds
