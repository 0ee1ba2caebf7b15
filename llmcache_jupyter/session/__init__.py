"""What this kernel has active: one cache, one mode, statistics, the clients that are hooked. No IPython."""
