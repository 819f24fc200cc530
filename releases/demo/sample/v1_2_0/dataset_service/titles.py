"""The form in which titles are kept."""


def normalised(title: str) -> str:
    """Return `title` with single spaces and none at its ends."""
    return " ".join(title.split())
