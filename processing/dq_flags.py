"""DQ flags as people write them."""

from hapctl.processing.errors import UsageProblemError

Bits = int | str | None
"""DQ flags taken as good: a sum, ``"64,32"``, ``"64+32"``, ``"~4096"``, or None: DQ is ignored."""
ALL_FLAGS = 0xFFFF


def bad_flags(bits: Bits) -> int:
    """Return the DQ flags that make a pixel bad.

    Parameters
    ----------
    bits : int, str or None
        Flags that are good: a sum (``96``, ``"96"``), a list (``"64,32"``, ``"64+32"``), either with
        ``~`` in front: all flags but these are good. None, ``""``, ``"None"`` and ``"INDEF"``: DQ is
        ignored.

    Raises
    ------
    UsageProblemError
        The text is none of these.

    Examples
    --------
    >>> bad_flags("~4096")
    4096
    """
    if bits is None:
        return 0
    text = str(bits).strip()
    if text.upper() in ("", "NONE", "INDEF"):
        return 0
    inverted = text.startswith("~")
    good = _sum_of_flags(text.lstrip("~").strip("() "), text)
    return (good if inverted else ~good) & ALL_FLAGS


def _sum_of_flags(text: str, whole: str) -> int:
    good = 0
    for part in text.replace("+", ",").split(","):
        if not part.strip().isdecimal():
            raise UsageProblemError(
                f"{whole!r} is no set of DQ flags", "write a sum such as 96, a list such as 64,32, or ~4096"
            )
        good |= int(part)
    return good
