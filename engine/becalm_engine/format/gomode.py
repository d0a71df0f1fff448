"""File modes as Go prints them: a letter for each flag, then the permissions (`drwxr-xr-x`, `ugtrwxrwxrwx`)."""

_FLAG_LETTERS = "dalTLDpSugct?"
_PERMISSION_LETTERS = "rwxrwxrwx"


def mode_text(flags: int) -> str:
    """Return what Go's `os.FileMode.String` returns for a mode as it stands in a tree."""
    letters = "".join(letter for at, letter in enumerate(_FLAG_LETTERS) if flags & 1 << (31 - at))
    permissions = "".join(
        letter if flags & 1 << (8 - at) else "-" for at, letter in enumerate(_PERMISSION_LETTERS)
    )
    return (letters or "-") + permissions
