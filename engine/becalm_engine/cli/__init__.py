"""The command `becalm`: arguments and environment in, text and an exit code out. Nothing below prints."""

from becalm_engine.cli.entry import main

__all__ = ["main"]
