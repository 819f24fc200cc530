"""Third-party applications from plan to production, with a broken version and its rollback (`make applications`)."""
