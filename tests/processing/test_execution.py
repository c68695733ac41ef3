"""Units of work on processes: order, and what happens when a worker is killed."""

import os
import signal

import pytest
from hapctl.processing.errors import WorkerLostError
from hapctl.processing.pipeline.execution import run_units


def die_at_three(number: int) -> int:
    """The square of a number; at 3 the worker is killed as the kernel does it."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_of_the_units(workers: int) -> None:
    assert list(run_units(abs, range(-20, 0), workers)) == list(range(20, 0, -1))


def test_a_killed_worker_is_said_in_words() -> None:
    with pytest.raises(WorkerLostError, match="worker process was killed") as caught:
        list(run_units(die_at_three, range(10), 2))
    assert (caught.value.exit_code, "run it again" in caught.value.remedy) == (4, True)
