"""What can go wrong in the archive floor, each with its exit code and remedy."""


class ArchiveError(Exception):
    """Base of the errors a user of the catalog can meet.

    Parameters
    ----------
    message : str
        One line: what happened, to which file or row.
    remedy : str, optional
        One line: what to do next.
    """

    exit_code = 70

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class NotInCatalogError(ArchiveError):
    """An exposure, visit, tile, product or query of that name is not there."""

    exit_code = 3


class CatalogUsageError(ArchiveError):
    """What was asked of the catalog cannot be understood."""

    exit_code = 2


class ServiceUnavailableError(ArchiveError):
    """The database or a remote service did not answer, or answered wrongly."""

    exit_code = 4


class SchemaMismatchError(ArchiveError):
    """The catalog's schema version is not the one this software works with."""

    exit_code = 4


class BusyError(ArchiveError):
    """Another operator holds the lock."""

    exit_code = 4


class RefusedByCatalogError(ArchiveError):
    """A rule of the catalog forbids it, and the state is as it was before."""

    exit_code = 1


class AnswerTooLargeError(ArchiveError):
    """The answer of a service would have more rows than hapctl takes."""

    exit_code = 5
