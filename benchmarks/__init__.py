"""What the caches cost, side by side with LangChain's own.

InMemoryCache is compared with that of `langchain_core.caches`, SQLiteCache with that of `langchain_community`
where it is installed, as `make bench` does. It prints the table, in about ten minutes (most of them fill a
file with a million entries); `python -m benchmarks --quick` shows that all of it runs.

- A row compares two things measured in this run, in turns, so that a busy machine troubles both alike. Its
  figures are medians over the rounds, its ratio the median of the rounds' ratios.
- Time is the thread's CPU time: what other programs take from this one is not counted. Only where a file is
  worked on by itself it is wall-clock time, because that waits for a disk.
- The cyclic garbage collector is off while something is timed, and runs in between, as in `timeit`.
"""
