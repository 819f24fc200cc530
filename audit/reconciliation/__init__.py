"""The nightly comparison of what people read (simple-history) with what is proven (the ledger)."""
