"""One place for what a command prints: one JSON document or text on stdout, all else on stderr."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def json_option(command: Command) -> Command:
    """Add ``--json`` to a command (parameter ``as_json``)."""
    return click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON document.")(command)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; moments (ISO 8601) and paths become strings."""
    click.echo(json.dumps(document, indent=2, default=_text, allow_nan=False))


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def say(text: str) -> None:
    """Print a line for people on stderr."""
    click.echo(text, err=True)


def run_and_exit(command: click.Command, argv: list[str]) -> NoReturn:
    """Run a click command; end the process with a defined exit code and never a traceback.

    Set ``HAPCTL_DEBUG=1`` to see the traceback of an internal error.
    """
    from hapctl.archive.errors import ArchiveError
    from hapctl.processing.errors import ProcessingError

    as_json = "--json" in argv
    stdout = sys.stdout
    _stop_in_order_when_terminated()
    try:
        result = command.main(args=argv, standalone_mode=False, prog_name="hapctl")
    except (ArchiveError, ProcessingError) as error:
        _fail(error.message, error.remedy, error.exit_code, as_json)
    except click.exceptions.Abort:
        _fail("interrupted", "run the same command again to go on", 130, as_json)
    except click.ClickException as error:
        _fail(error.format_message(), _usage_remedy(error), 2, as_json)
    except BrokenPipeError:
        sys.exit(0)
    except SystemExit as end:
        # click makes 1 of a reader that has read enough, as head does, and puts another stdout in place.
        sys.exit(end.code if sys.stdout is stdout else 0)
    except OSError as error:
        _fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "", 70, as_json)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, exit code 70
        _internal(error, as_json)
    sys.exit(result if isinstance(result, int) else 0)


def _usage_remedy(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"see '{context.command_path} --help'" if context else "see 'hapctl --help'"


def _internal(error: Exception, as_json: bool) -> NoReturn:
    import os
    import traceback

    if os.environ.get("HAPCTL_DEBUG"):
        traceback.print_exc()
    message = " ".join(f"internal error: {type(error).__name__}: {error}".split())
    _fail(message, "set HAPCTL_DEBUG=1 and report what it shows", 70, as_json)


def _stop_in_order_when_terminated() -> None:
    """Let SIGTERM end a command as Ctrl-C does: the run is recorded as interrupted, nothing stays open."""
    import signal
    import threading

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(message: str, remedy: str, code: int, as_json: bool) -> NoReturn:
    try:
        if as_json:
            print_json({"error": {"message": message, "remedy": remedy, "exit_code": code}})
    except OSError as error:
        # What can't be written on stdout, as on a full disk, is still told on stderr.
        say(f"hapctl: standard output can't be written: {error.strerror}")
    say(f"hapctl: {message}" + (f" ({remedy})" if remedy else ""))
    sys.exit(code)
