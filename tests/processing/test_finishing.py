"""What is finished beside what: order, errors, and what is waited for."""

from threading import Event, current_thread, main_thread

import pytest
from hapctl.processing.pipeline.finishing import Finisher, Making, whole


class Made:
    """Makings that note what happens to them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.threads: list[bool] = []

    def of(
        self, name: str, *, waits: Event | None = None, fails: str = "", kept: bool = False
    ) -> Making[str]:
        try:
            self.events.append(f"{name} first")
            if fails == "first":
                raise OSError(f"{name} first")
            if kept:
                return f"{name} kept"
            yield
            if waits is not None:
                assert waits.wait(30.0)
            if fails == "second":
                raise OSError(f"{name} second")
            self.threads.append(current_thread() is main_thread())
            self.events.append(f"{name} second")
            return name
        except GeneratorExit:
            self.events.append(f"{name} closed")
            raise


@pytest.fixture
def made() -> Made:
    return Made()


def test_the_rest_of_one_is_done_beside_the_first_part_of_the_next(made: Made) -> None:
    begun = Event()

    def second() -> Making[str]:
        begun.set()  # the first waits for this: without a thread of its own it would wait in vain
        return (yield from made.of("b"))

    with Finisher[str](2) as finisher:
        assert finisher.begin(made.of("a", waits=begun), "1")
        assert finisher.begin(second(), "2")
        assert finisher.results() == ["a", "b"]
    assert made.threads == [False, False]
    assert made.events.index("a second") < made.events.index("b second")


@pytest.mark.parametrize("threads", [1, 2])
def test_results_come_in_order_with_those_that_are_kept(made: Made, threads: int) -> None:
    with Finisher[str](threads) as finisher:
        begun = [finisher.begin(made.of(name, kept=name in "bd"), name) for name in "abcd"]
        assert finisher.results() == ["a", "b kept", "c", "d kept"]
    assert begun == [True, False, True, False]


def test_one_thread_does_one_after_another(made: Made) -> None:
    with Finisher[str](1) as finisher:
        for name in "ab":
            finisher.begin(made.of(name), name)
    assert made.events == ["a first", "a second", "b first", "b second"]
    assert made.threads == [True, True]


def test_what_needs_the_pixels_of_the_one_before_waits_for_it(made: Made) -> None:
    with Finisher[str](2) as finisher:
        finisher.begin(made.of("a"), "same")
        finisher.begin(made.of("b"), "same")
        finisher.results()
    assert made.events == ["a first", "a second", "b first", "b second"]


def test_an_error_of_the_rest_ends_what_was_begun_after_it(made: Made) -> None:
    with Finisher[str](2) as finisher:
        finisher.begin(made.of("a", fails="second"), "1")
        with pytest.raises(OSError, match="a second"):
            finisher.begin(made.of("b"), "2")
    assert made.events == ["a first", "b first", "b closed"]


def test_an_error_of_the_last_rest_is_raised_with_the_results(made: Made) -> None:
    with Finisher[str](2) as finisher:
        finisher.begin(made.of("a", fails="second"), "1")
        with pytest.raises(OSError, match="a second"):
            finisher.results()


def test_an_error_of_a_first_part_leaves_the_one_before_finished(made: Made) -> None:
    with Finisher[str](2) as finisher:
        finisher.begin(made.of("a"), "1")
        with pytest.raises(OSError, match="b first"):
            finisher.begin(made.of("b", fails="first"), "2")
    assert "a second" in made.events


def test_a_making_is_done_whole(made: Made) -> None:
    assert whole(made.of("a")) == "a"
    assert whole(made.of("b", kept=True)) == "b kept"
