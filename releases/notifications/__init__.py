"""How people are notified: the channels, and the templates of the texts."""
