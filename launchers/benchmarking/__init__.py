"""What `launchers/benchmark.py` measures, each contender in a process of its own."""
