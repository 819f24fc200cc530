"""A page of the admin each: its view, its rows and its template stand together."""
