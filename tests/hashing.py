"""Passwords of tests, which protect nothing, hashed in no time; a hash names its own number of rounds."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRound(PBKDF2PasswordHasher):
    """PBKDF2 with one round."""

    iterations = 1


class TwoRounds(OneRound):
    """A hasher that renews the hashes of the other."""

    iterations = 2
