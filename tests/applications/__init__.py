"""Applications that others wrote, brought from plan to production, a broken version and back (`make applications`)."""
