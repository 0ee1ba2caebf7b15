"""What the cache costs, side by side with LangChain's own `langchain_core.caches.InMemoryCache`.

`make bench` prints the table, in about two minutes; `python -m benchmarks --quick` shows that all of it runs.

- A row compares two things measured in this run, in turns, so that a busy machine troubles both alike. Its
  figures are medians over the rounds, its ratio the median of the rounds' ratios.
- Time is the thread's CPU time: what other programs take from this one is not counted.
- The cyclic garbage collector is off while something is timed, and runs in between, as in `timeit`.
"""
