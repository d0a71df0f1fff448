"""Decisions, all pure: which snapshots stay, which parent is compared with, which lock is in the way."""
