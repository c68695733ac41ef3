"""Cards of astropy headers set and removed one by one; numbers keep all their digits."""

from typing import TYPE_CHECKING

from hapctl.processing.astrometry.fits_structure import CARD, HeaderValue

if TYPE_CHECKING:
    from astropy.io import fits


_LONGEST = 68
"""Characters of a string, quotes doubled, that one card holds."""


def card_text(keyword: str, value: HeaderValue) -> str:
    """Return a card as text, its number with all digits; a long string is several cards."""
    if isinstance(value, bool):
        return f"{keyword:8}= {'T' if value else 'F':>20}"
    if isinstance(value, int):
        return f"{keyword:8}= {value:>20}"
    if isinstance(value, float):
        return f"{keyword:8}= {repr(float(value)).upper():>20}"
    return _string_cards(keyword, str(value))


def _string_cards(keyword: str, value: str) -> str:
    """Return a string card, continued on CONTINUE cards where it is longer than one holds."""
    quoted = value.replace("'", "''")
    if len(quoted) <= _LONGEST:
        return f"{keyword:8}= '{quoted:8}'"
    pieces = [f"'{piece}&'" for piece in _pieces(value)]
    pieces[-1] = f"{pieces[-1][:-2]}'"
    names = [f"{keyword:8}= ", *["CONTINUE  "] * (len(pieces) - 1)]
    return "".join(f"{name}{piece}".ljust(CARD) for name, piece in zip(names, pieces, strict=True))


def _pieces(value: str) -> list[str]:
    """Cut a string into pieces that fit with their quotes doubled: no pair is torn, as astropy does [BUG]."""
    pieces = [""]
    for character in value:
        doubled = character.replace("'", "''")
        if len(pieces[-1]) + len(doubled) > _LONGEST - 1:
            pieces.append("")
        pieces[-1] += doubled
    return pieces


_ROOM = 60
"""Characters of a string and its comment that fit in one card."""


def exact_card(keyword: str, value: HeaderValue, comment: str = "") -> "fits.Card":
    """Return a card whose number has all its digits (astropy cuts numbers to 20 characters)."""
    from astropy.io import fits

    if isinstance(value, str) and len(value.replace("'", "''")) > _LONGEST:
        return fits.Card.fromstring(card_text(keyword, value))
    if not isinstance(value, float):
        fits_in = len(str(value)) + len(comment) <= _ROOM
        return fits.Card(keyword, value, comment if fits_in else "")
    text = repr(float(value)).upper()
    card = f"{keyword:8}= {text:>20}"
    return fits.Card.fromstring((f"{card} / {comment}" if comment else card)[:80].ljust(80))


def set_card(header: "fits.Header", keyword: str, value: HeaderValue, after: str = "") -> None:
    """Set a keyword to a value with all its digits, where it stands, else after another or at the end."""
    if keyword not in header:
        card = exact_card(keyword, value)
        if after and after in header:
            header.insert(after, card, after=True)
        else:
            header.append(card, end=True)
        return
    if header[keyword] == value and type(header[keyword]) is type(value):
        return
    place, comment = header.index(keyword), header.comments[keyword]
    del header[place]
    header.insert(place, exact_card(keyword, value, comment))


def remove_cards(header: "fits.Header", *keywords: str) -> None:
    """Remove keywords that are there, each as often as it stands; ``DP1`` stands for all its records."""
    names = set(keywords)
    for place in reversed([n for n, card in enumerate(header.cards) if card.rawkeyword in names]):
        del header[place]
