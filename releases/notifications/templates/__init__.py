"""Texts of notifications and documents: the events, the default templates, and the placeholders."""
