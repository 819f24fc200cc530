"""The version of this tree."""

VERSION = "1.4.0"
