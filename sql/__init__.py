"""The SQL of the catalog: migrations, views, named queries and roles, as .sql files."""

from importlib import resources


def read_sql(path: str) -> str:
    """Return the text of a .sql file of this package, such as ``views/active_solution.sql``."""
    return resources.files(__name__).joinpath(*path.split("/")).read_text(encoding="utf-8")


def list_sql(folder: str) -> list[str]:
    """Return the names of the .sql files in a folder of this package, sorted."""
    entries = resources.files(__name__).joinpath(folder).iterdir()
    return sorted(entry.name for entry in entries if entry.name.endswith(".sql"))
