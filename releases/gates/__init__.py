"""Gates: one function decides whether a deployment may start, when it is scheduled and again in the starting
transaction.
"""
