"""A Django project of two tables, one plain and one that another audit library audits: the cost of that library per
save.
"""
