"""Measures the engine beside its peers: same data, same machine, in turns, in one run."""
