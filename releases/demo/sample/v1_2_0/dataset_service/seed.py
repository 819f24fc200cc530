"""Fills an empty catalogue with invented datasets; called by the seed command."""

import random
from datetime import UTC, datetime, timedelta

import psycopg

from dataset_service.titles import normalised

SUBJECTS = ("river levels", "bus journeys", "library loans", "rainfall", "harvests", "air quality", "visitors")
PLACES = ("Akita", "Kanazawa", "Matsuyama", "Niigata", "Sendai", "Takamatsu", "松江", "長崎")
FIRST = datetime(2024, 3, 21, tzinfo=UTC)


def seed(url: str, *, rows: int, number: int) -> int:
    """Add `rows` datasets, the same for the same `number`, to an empty catalogue; return how many."""
    chance = random.Random(number)
    with psycopg.connect(url, connect_timeout=5) as connection:
        if connection.execute("SELECT EXISTS (SELECT FROM datasets)").fetchone() == (True,):
            return 0
        with connection.cursor() as cursor:
            with cursor.copy("COPY datasets (title, row_count, note, created_at) FROM STDIN") as copy:
                for place in range(rows):
                    title = f"{chance.choice(PLACES)} {chance.choice(SUBJECTS)} {place + 1}"
                    at = FIRST + timedelta(minutes=place)
                    copy.write_row((normalised(title), chance.randrange(1_000_000), "", at))
    return rows
