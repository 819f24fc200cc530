"""The version of this tree."""

VERSION = "1.3.0"
