"""The machines: states, groups and edges, one screen each. Edges have no bodies; what an edge needs is in actions."""
