"""Remote services: where and how patiently they are asked, and asking again after passing troubles."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import tenacity
from hapctl.archive.errors import ServiceUnavailableError

LONGEST_PAUSE = 60.0
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteService:
    """Where and how patiently a service is asked.

    Attributes
    ----------
    url : str
    timeout : float
        Seconds until an attempt is given up.
    retries : int
        Further attempts after the first.
    pause : float
        Seconds before the first further attempt; doubled each time, up to a minute.
    """

    url: str
    timeout: float = 300.0
    retries: int = 3
    pause: float = 1.0


class AttemptError(Exception):
    """An attempt failed.

    Attributes
    ----------
    lasting : bool
        The service refuses what was asked, so that asking again is of no use.
    status : int
        HTTP status of the answer; 0 where there was none.
    """

    def __init__(self, message: str, lasting: bool = False, status: int = 0) -> None:
        super().__init__(" ".join(message.split())[:300])
        self.lasting = lasting
        self.status = status


def with_retries(
    attempt: Callable[[], Answer], service: RemoteService, name: str, remedy: str, what: str = ""
) -> Answer:
    """Repeat an attempt until it succeeds, fails for good, or has been made often enough.

    Parameters
    ----------
    attempt : callable
        Raises `AttemptError` where it fails.
    service : RemoteService
    name : str
        Of the service, for messages.
    remedy : str
        What to do when it does not answer.
    what : str
        What is asked for, for messages.

    Raises
    ------
    ServiceUnavailableError
    """

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        logger.warning("%s: %s; attempt %d in %.0f s", what or name, error, state.attempt_number + 1, pause)

    attempts = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(service.retries + 1),
        wait=tenacity.wait_exponential(multiplier=service.pause, max=LONGEST_PAUSE),
        retry=tenacity.retry_if_exception(
            lambda error: isinstance(error, AttemptError) and not error.lasting
        ),
        before_sleep=tell,
        reraise=True,
    )
    try:
        return attempts(attempt)
    except AttemptError as error:
        about = f"{what}: {error}" if what else str(error)
        raise ServiceUnavailableError(f"{name} at {service.url}: {about}", remedy) from error
