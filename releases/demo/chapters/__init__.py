"""The chapters of the story, in order; each returns its proof, measured on the target where possible."""
