"""The pages of the admin: each folder holds a view, its rows and its template."""
