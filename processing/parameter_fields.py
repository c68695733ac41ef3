"""Fields of parameter dataclasses: each with help, choices, limits and unit; what is outside is refused."""

from dataclasses import field, fields
from typing import Any

from hapctl.processing.errors import UsageProblemError


def option(
    default: Any,
    help_text: str,
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    unit: str = "",
) -> Any:
    """Return a dataclass field that carries what people and programs need to know of it.

    ``low`` and ``high`` are inclusive limits, ``above`` an exclusive one, for every element of a tuple.
    """
    metadata = {
        "help": help_text,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "unit": unit,
    }
    return field(default=default, metadata=metadata)


class Checked:
    """Refuses values outside the limits of their fields, by name."""

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            _check(
                type(self).__name__.removesuffix("Parameters"),
                one.name,
                getattr(self, one.name),
                one.metadata,
            )


def _check(step: str, name: str, value: Any, limits: Any) -> None:
    if value is None or not limits:
        return
    if limits["choices"] is not None and value not in limits["choices"]:
        raise UsageProblemError(
            f"{step}: {name} = {value!r}", f"choose one of {', '.join(limits['choices'])}"
        )
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        low, high, above = limits["low"], limits["high"], limits["above"]
        inside = (low is None or number >= low) and (high is None or number <= high)
        if not (number == number and inside and (above is None or number > above)):  # NaN is outside
            raise UsageProblemError(f"{step}: {name} = {value} is out of its range", _range(low, high, above))


def _range(low: float | None, high: float | None, above: float | None) -> str:
    words = [
        f"at least {low:g}" if low is not None else "",
        f"above {above:g}" if above is not None else "",
        f"at most {high:g}" if high is not None else "",
    ]
    return "give a value " + " and ".join(word for word in words if word)
