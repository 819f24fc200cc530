"""The measurements of `make bench`: each file measures one part and adds rows to the one table."""
