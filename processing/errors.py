"""What can go wrong in the processing floor, each with its exit code and remedy."""


class ProcessingError(Exception):
    """Base of the errors a user of the processing floor can meet.

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


class UnusableFileError(ProcessingError):
    """A file is truncated, not FITS, or lacks what its kind must have."""

    exit_code = 1


class UsageProblemError(ProcessingError):
    """What was asked cannot be understood or contradicts itself."""

    exit_code = 2


class MissingFileError(ProcessingError):
    """A file that was named is not there."""

    exit_code = 3


class RefusedError(ProcessingError):
    """Science or policy says no, and the state is as it was before."""

    exit_code = 1


class TooLargeError(ProcessingError):
    """The work would not fit in the memory or disk allowed."""

    exit_code = 5


class WorkerLostError(ProcessingError):
    """A worker process ended without an answer, most likely killed for its memory."""

    exit_code = 4


class NoViableDataError(ProcessingError):
    """Nothing is left to work on."""

    exit_code = 65


class NothingLeftError(NoViableDataError):
    """All exposures are out of use, whatever the options: what was made of them before is of the past."""
