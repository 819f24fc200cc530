"""May it run? One function decides, asked when a run is scheduled and again in the transaction that starts it."""
