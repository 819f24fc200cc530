"""A Django project of two tables, one plain and one that another audit library watches: what that library costs a save."""
