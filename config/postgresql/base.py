"""Django's connection to PostgreSQL, whose queries are written by `config.postgresql.compiler`."""

from django.db.backends.postgresql import base, operations


class DatabaseOperations(operations.DatabaseOperations):
    """Django's own, with that compiler."""

    compiler_module = "config.postgresql.compiler"


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, with those operations."""

    ops_class = DatabaseOperations
