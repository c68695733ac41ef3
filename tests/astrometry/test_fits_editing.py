"""Files edited header by header: untouched bytes stay, checksums hold, the old file comes back."""

import gzip
import hashlib
import io
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.fits_cards import exact_card, remove_cards, set_card
from hapctl.processing.astrometry.fits_editing import FitsPart, editing, rebuilt
from hapctl.processing.astrometry.writing_aside import written_aside
from hapctl.processing.errors import MissingFileError, RefusedError, UnusableFileError
from hypothesis import given, settings
from hypothesis import strategies as st

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def made_file(path: Path, *, checksum: bool = True, extensions: int = 3) -> None:
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header({"NEXTEND": extensions, "AUTHOR": "O'Neill"}))])
    for number in range(1, extensions + 1):
        data = np.arange(10 * number, dtype=np.int16) if number % 2 else np.ones((3, 5), np.float32) * number
        hdus.append(fits.ImageHDU(data, name="SCI", ver=number))
    hdus.writeto(path, checksum=checksum)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["card", "remove", "delete", "add", "data"]), max_size=6), st.data())
def test_any_edits_are_undone_to_the_byte(edits: list[str], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.fits"
        made_file(path, extensions=4)
        before = path.read_bytes()
        with editing(path) as edited:
            first = edited.content_sha256()
            for edit in edits:
                part = edited.parts[data.draw(st.integers(0, len(edited.parts) - 1))]
                if edit == "card":
                    set_card(part.header, "VALUE", data.draw(FLOATS))
                elif edit == "remove":
                    remove_cards(part.header, "EXTVER", "AUTHOR")
                elif edit == "delete" and len(edited.parts) > 2:
                    edited.parts.remove(edited.parts[-1])
                elif edit == "add":
                    header = fits.Header([("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 1), ("NAXIS1", 7)])
                    header.extend([("PCOUNT", 0), ("GCOUNT", 1), ("EXTNAME", "NEW")])
                    edited.parts.insert(1, FitsPart(header, b"\1" * 7))
                elif edit == "data" and part.kind == "IMAGE":
                    part.data = bytes(len(edited.data_of(part)))
            record = edited.record()
            after = edited.save(path)
        assert path.stat().st_size % 2880 == 0
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with fits.open(path, checksum=True) as hdus:
                assert len(hdus) - 1 == hdus[0].header["NEXTEND"]
        rebuilt(path, record, first, after)
        assert path.read_bytes() == before


def test_an_untouched_file_is_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    made_file(path)
    with path.open("ab") as stream:
        stream.write(b"special records after the last HDU")
    before = path.read_bytes()
    with editing(path) as edited:
        edited.save(path)
    assert path.read_bytes() == before


def test_a_missing_last_padding_is_made_good_and_undone(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    made_file(path, checksum=False)
    path.write_bytes(path.read_bytes()[:-2000])
    before = path.read_bytes()
    with editing(path) as edited:
        first = edited.content_sha256()
        header = fits.Header(
            [("XTENSION", "IMAGE"), ("BITPIX", 8), ("NAXIS", 0), ("PCOUNT", 0), ("GCOUNT", 1)]
        )
        edited.parts.append(FitsPart(header, b""))
        record = edited.record()
        after = edited.save(path)
    with fits.open(path) as hdus:
        assert len(hdus) == 5
        np.testing.assert_array_equal(hdus[3].data, np.arange(30))
    rebuilt(path, record, first, after)
    assert path.read_bytes() == before


def test_a_file_changed_since_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    made_file(path)
    with editing(path) as edited:
        first = edited.content_sha256()
        set_card(edited.primary, "VALUE", 1.0)
        record, after = edited.record(), edited.save(path)
    changed = path.read_bytes().replace(b"VALUE   =                  1.0", b"VALUE   =                  2.0")
    path.write_bytes(changed)
    with pytest.raises(RefusedError, match="changed after that run"):
        rebuilt(path, record, first, after)
    assert path.read_bytes() == changed
    with pytest.raises(RefusedError, match="does not fit"):
        rebuilt(path, record, "0" * 64, hashlib.sha256(changed).hexdigest())
    assert path.read_bytes() == changed


def test_what_a_killed_writer_left_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    path = tmp_path / "a[1].fits"
    left, other = tmp_path / ".a[1].fits.1.partial", tmp_path / ".b.fits.1.partial"
    for file in (left, other):
        file.write_bytes(b"half")
    with written_aside(path) as first:
        first.write(b"first")
        assert not left.exists()
        mine = next(tmp_path.glob(".a*.partial"))
        living = mine.rename(tmp_path / ".a[1].fits.2.partial")
        with written_aside(path) as second:
            second.write(b"second")
        assert living.exists()
        living.rename(mine)
    assert path.read_bytes() == b"first"
    assert other.exists()


@given(FLOATS)
def test_numbers_keep_all_their_digits(value: float) -> None:
    header = fits.Header()
    header.append(exact_card("CRVAL1", value, "a comment"))
    text = header.tostring()
    assert float(text[10:80].split("/")[0]) == value
    assert fits.Header.fromstring(text)["CRVAL1"] == value


def test_what_is_no_fits_file_is_told(tmp_path: Path) -> None:
    cut, text = tmp_path / "cut.fits", tmp_path / "text.fits"
    made_file(cut)
    cut.write_bytes(cut.read_bytes()[: 2880 * 3 + 100])
    text.write_text("no FITS file")
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(io.BytesIO(b"x" * 5000).getvalue())[:30])
    for path in (cut, text, packed):
        with pytest.raises(UnusableFileError), editing(path):
            pass
    with pytest.raises(MissingFileError), editing(tmp_path / "none.fits"):
        pass
