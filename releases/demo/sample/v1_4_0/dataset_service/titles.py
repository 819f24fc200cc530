"""The form in which titles are kept."""

PREFIX = "DS "


def normalised(title: str) -> str:
    """Return `title` in capital letters after the prefix, with single spaces and none at its ends."""
    words = " ".join(title.split()).upper()
    return words if not words or words.startswith(PREFIX) else PREFIX + words
