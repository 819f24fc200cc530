"""A catalogue of datasets over HTTP."""
