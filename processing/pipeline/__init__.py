"""Units of work with the catalog in hand: each idempotent, restartable, recorded as a run."""
