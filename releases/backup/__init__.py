"""Backup of an installation as one encrypted file, and its restoration after a total loss."""
