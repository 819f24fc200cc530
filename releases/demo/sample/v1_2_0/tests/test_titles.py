"""The form of titles."""

from dataset_service.titles import normalised


def test_it_takes_superfluous_spaces_away() -> None:
    assert normalised("  rain \n 2024 ") == "rain 2024"
