"""What several pages show in one form."""
