"""Downloads for auditors: the evidence of one change as an archive, and the population that it was drawn from."""
