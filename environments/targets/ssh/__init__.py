"""A target on another host: the target's own code runs there, over `ssh`; for steps, checks and metric sources."""
