"""The version of this tree."""

VERSION = "1.2.0"
