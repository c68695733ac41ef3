"""The catalog: models, database access, embedded server, Gaia, provenance. Knows no pixels."""
