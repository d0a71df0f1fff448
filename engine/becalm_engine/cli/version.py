"""Which version this is."""


def version() -> str:
    """Return the version of the installed package."""
    from importlib import metadata  # noqa: PLC0415  takes long, and few commands need it

    return metadata.version("becalm")


def program_version() -> str:
    """Return what snapshots are signed with."""
    return f"becalm {version()}"
