"""Passwords of tests, which protect nothing, hashed in no time; anyone who reads the field counts its own rounds."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    """PBKDF2 with one round."""

    iterations = 1


class TwoRounds(OneRound):
    """One that renews what the other stored."""

    iterations = 2
