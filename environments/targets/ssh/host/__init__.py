"""Code that only runs on a target's host: the part of the bundle that takes a request, and stand-ins for missing
modules.
"""
