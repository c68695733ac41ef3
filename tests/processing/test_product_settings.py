"""Settings of single products: what is refused, and what a file says is what it sets."""

import re
from pathlib import Path

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.parameters import DRIZZLE
from hapctl.processing.imaging.product_settings import product_setting, setting_value, settings_of_file
from hapctl.processing.parameter_file import parse_setting


def test_settings_of_the_comparison_are_refused_for_single_products() -> None:
    """All products share the masks: a setting for one of them would make the others stale, and so on."""
    with pytest.raises(UsageProblemError, match="shared by all products") as refused:
        product_setting("cosmic_rays.snr=5 4")
    assert "hapctl params set cosmic_rays.snr" in refused.value.remedy
    assert product_setting("final.kernel=point") == "final.kernel=point"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("final.pixfrac=2", "out of its range|at most 1"),
        ("final.scale=0.04", "no parameter of products"),
        ("sky.file=sky.txt", "no parameter of products"),
        ("final.units=counts", "no parameter of products"),
        ("final.pixfrac", "--set final.pixfrac"),
        ("lookup_origin=fits", "no parameter of products"),
    ],
)
def test_what_will_not_do_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageProblemError) as refused:
        product_setting(text)
    assert re.search(words, f"{refused.value.message} {refused.value.remedy}")


def test_a_file_is_what_it_sets(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text(
        '[final]\npixfrac = 0.7\nbits = "64,32"\nfill_value = "none"\n[sky]\nenabled = false\nclip = 3\n'
    )
    settings = settings_of_file(file)
    read = {one.parameter.full_name: one.value for one in (parse_setting(DRIZZLE, text) for text in settings)}
    assert read == {
        "final.pixfrac": 0.7,
        "final.bits": "64,32",
        "final.fill_value": None,
        "sky.enabled": False,
        "sky.clip": 3,
    }


def test_a_file_is_refused_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "deep.toml"
    file.write_text("[final]\npixfrac = 0.7\n[median]\nnhigh = 2\n")
    with pytest.raises(UsageProblemError, match=r"deep\.toml, line 4: cosmic-ray masks"):
        settings_of_file(file)


def test_every_value_is_read_back_from_its_text() -> None:
    for one in DRIZZLE.all:
        text = f"{one.full_name}={setting_value(one.default)}"
        assert parse_setting(DRIZZLE, text).value == one.default, text
