"""The definition: what it would change, done by the reader or waiting for others."""
