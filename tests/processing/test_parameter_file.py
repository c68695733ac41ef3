"""Parameters in TOML and as single settings: what is written is read back, what is wrong is named."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.parameters import DRIZZLE, STEPS, DrizzleParameters
from hapctl.processing.parameter_file import (
    changed,
    parse_parameters,
    parse_setting,
    read_parameter_file,
    toml_text,
)
from hapctl.processing.parameter_values import Parameter, as_text
from hypothesis import given, settings
from hypothesis import strategies as st

DEFAULTS = DrizzleParameters()


def values_of(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Values that a parameter may have."""
    low = parameter.low if parameter.low is not None else parameter.above
    numbers = st.floats(
        -1e6 if low is None else low,
        1e6 if parameter.high is None else parameter.high,
        exclude_min=parameter.above is not None,
    )
    wholes = st.integers(0 if low is None else math.ceil(low), 10_000)
    one: dict[str, st.SearchStrategy[Any]] = {
        "bool": st.booleans(),
        "int": wholes,
        "float": numbers,
        "text": st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        "choice": st.sampled_from(parameter.choices or ("",)),
        "bits": st.sampled_from([0, 96, "64,32", "64+32", "~4096"]),
        "floats": st.tuples(numbers, numbers),
        "ints": st.tuples(wholes, wholes),
    }
    kind = one[parameter.kind]
    return st.none() | kind if parameter.optional else kind


@st.composite
def drizzle_parameters(draw: st.DrawFn) -> DrizzleParameters:
    """Any parameters."""
    parameters = DEFAULTS
    for step in STEPS:
        own = {one.name: draw(values_of(one)) for one in DRIZZLE.all if one.step == step}
        parameters = replace(parameters, **{step: type(getattr(parameters, step))(**own)})
    return replace(parameters, lookup_origin=draw(st.sampled_from(["hst", "fits"])))


@settings(max_examples=20, deadline=None)
@given(drizzle_parameters())
def test_what_is_written_is_read_back(parameters: DrizzleParameters) -> None:
    assert changed(DEFAULTS, parse_parameters(DRIZZLE, toml_text(DRIZZLE, parameters), "text")) == parameters


@settings(max_examples=20, deadline=None)
@given(drizzle_parameters())
def test_a_value_written_as_text_is_read_back(parameters: DrizzleParameters) -> None:
    for one in DRIZZLE.all:
        value = one.value_in(parameters)
        if one.kind != "text":  # quotes and blanks around a text are not part of it
            assert one.from_text(as_text(value)) == value


def test_the_default_is_complete_and_documented() -> None:
    text = toml_text(DRIZZLE, DEFAULTS)
    lines = text.splitlines()
    for one in DRIZZLE.all:
        commented = one.value_in(DEFAULTS) is None
        prefix = f"# {one.name} = " if commented else f"{one.name} = "
        assert any(line.startswith(prefix) for line in lines), one.full_name
        assert one.help.split()[0] in text
        assert all(choice in text for choice in one.choices)
    assert all(f"[{step}]" in lines for step in STEPS)
    assert max(map(len, lines)) <= 100


def test_a_commented_line_may_be_uncommented() -> None:
    text = toml_text(DRIZZLE, DEFAULTS)
    for one in DRIZZLE.all:
        text = text.replace(f"\n# {one.name} = ", f"\n{one.name} = ")
    assert changed(DEFAULTS, parse_parameters(DRIZZLE, text, "text")) == DEFAULTS


@pytest.mark.parametrize(
    ("text", "place", "remedy"),
    [
        ("[final]\n\npixfrac = 2\n", "f.toml, line 3: final.pixfrac = 2.0", "at most 1"),
        ("[final]\npixfrac = nan\n", "f.toml, line 2: final.pixfrac = nan", "at most 1"),
        (
            "[final]\npixfrak = 1\n",
            "f.toml, line 2: there is no parameter 'final.pixfrak'",
            "'final.pixfrac'",
        ),
        ("[fnal]\npixfrac = 1\n", "f.toml, line 2: there is no step 'fnal'", "'final'"),
        ("[fnal]\n", "f.toml, line 1: there is no step 'fnal'", "'final'"),
        ("[final]\nsnr = [3, 2]\n", "f.toml, line 2: there is no parameter 'final.snr'", "'cosmic_rays.snr'"),
        ("final_pixfrac = 1\n", "f.toml, line 1: there is no parameter 'final_pixfrac'", "'final.pixfrac'"),
        ("final.kernel = 'box'\n", "f.toml, line 1: final.kernel = box", "one of square, point"),
        ("[final]\nkernel = 3\n", "f.toml, line 2: final.kernel = 3", "one of square"),
        ("[final]\nscale = true\n", "f.toml, line 2: final.scale = true", "a number, above 0"),
        ("[final]\nscale = '0.05'\n", "f.toml, line 2: final.scale = 0.05", "a number"),
        ("[final]\nshape = [100.5, 20]\n", "f.toml, line 2: final.shape", "two whole numbers"),
        ("[final]\nshape = [100]\n", "f.toml, line 2: final.shape", "two whole numbers"),
        ("[final]\nbits = '64;32'\n", "f.toml, line 2: final.bits = 64;32", "DQ flags"),
        ("[final]\nenabled = 1\n", "f.toml, line 2: final.enabled = 1", "true or false"),
        ("[median]\nnlow = 1.0\n", "f.toml, line 2: median.nlow = 1.0", "a whole number"),
        ("[sky]\nupper = inf\n", "f.toml, line 2: sky.upper = inf", "a number"),
        ("[cosmic_rays]\nsnr = [3.5, 0]\n", "f.toml, line 2: cosmic_rays.snr = 3.5 0.0", "above 0"),
        ("final = 3\n", "f.toml, line 1: there is no parameter 'final'", "final has enabled"),
        ("[final\n", "f.toml is not TOML", "correct the file"),
        ("[final]\npixfrac = 1,\n", "f.toml is not TOML", "correct the file"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(text: str, place: str, remedy: str) -> None:
    with pytest.raises(UsageProblemError) as caught:
        parse_parameters(DRIZZLE, text, "f.toml")
    assert caught.value.message.startswith(place)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("final.pixfrac=0.8", "final.pixfrac", 0.8),
        ("final.bits=64,32", "final.bits", "64,32"),
        ("final.bits=96", "final.bits", 96),
        ("final.bits=none", "final.bits", None),
        ("final.scale=INDEF", "final.scale", None),
        ("final.fill_value=nan", "final.fill_value", None),
        ("final.shape=4000,3000", "final.shape", (4000, 3000)),
        ("cosmic_rays.snr=[5.0, 4.0]", "cosmic_rays.snr", (5.0, 4.0)),
        ("cosmic_rays.snr = 5 4", "cosmic_rays.snr", (5.0, 4.0)),
        ("final.dec=-72.1", "final.dec", -72.1),
        ("final.enabled=off", "final.enabled", False),
        ("final.reference=a=b.fits[1]", "final.reference", "a=b.fits[1]"),
        ("lookup_origin=fits", "lookup_origin", "fits"),
    ],
)
def test_a_setting_is_understood(text: str, name: str, value: object) -> None:
    change = parse_setting(DRIZZLE, text)
    assert (change.parameter.full_name, change.value) == (name, value)
    assert change.parameter.value_in(changed(DEFAULTS, [change])) == value


@pytest.mark.parametrize(
    "text", ["final.pixfrac", "final.pixfrac=", "final.pixfrac=x", "pixfrac=1", "=1", ""]
)
def test_a_setting_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageProblemError, match="--set"):
        parse_setting(DRIZZLE, text)


def test_the_last_change_holds() -> None:
    file = parse_parameters(DRIZZLE, "[final]\npixfrac = 0.7\nkernel = 'turbo'\n", "f.toml")
    result = changed(DEFAULTS, [*file, parse_setting(DRIZZLE, "final.pixfrac=0.6")]).final
    assert (result.pixfrac, result.kernel, result.bits) == (0.6, "turbo", 0)


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblemError, match="No such file"):
        read_parameter_file(DRIZZLE, tmp_path / "none.toml")
    (tmp_path / "image.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageProblemError, match="not TOML"):
        read_parameter_file(DRIZZLE, tmp_path / "image.toml")


def test_every_parameter_is_found_by_name_and_says_what_it_takes() -> None:
    for one in DRIZZLE.all:
        assert DRIZZLE.find(one.full_name) is one
        assert one.help
        assert one.allowed
