"""Queries that operations, pages and the API share; none opens an operation or changes a row."""
