"""restic's repository format, version 2 (and 1 for reading): bytes in, values out, and back.

Pure: nothing here reads a clock, a file, a socket or a source of randomness; those are arguments.
"""
