"""Cards of astropy headers set and removed one by one; numbers keep all their digits."""

from typing import TYPE_CHECKING

from hapctl.processing.astrometry.fits_structure import HeaderValue

if TYPE_CHECKING:
    from astropy.io import fits


_ROOM = 60
"""Characters of a string and its comment that fit in one card."""


def exact_card(keyword: str, value: HeaderValue, comment: str = "") -> "fits.Card":
    """Return a card whose number has all its digits (astropy cuts numbers to 20 characters)."""
    from astropy.io import fits

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
