"""A target on another host: the target's own code runs there, over the `ssh` program; called by steps, checks, sources."""
