"""Values of a rule from AstroDrizzle's files: as HAP writes them, and what is left out of them."""

import json
from pathlib import Path

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.product_rules_import import import_values

HAP = {
    "runfile": "astrodrizzle.log",
    "num_cores": 1,
    "resetbits": "4096",
    "STEP 1: STATIC MASK": {"static": True, "static_sig": 4.0},
    "STEP 2: SKY SUBTRACTION": {"skysub": True, "skymethod": "match", "skylower": -100.0, "sky_bits": "80"},
    "STEP 6: REMOVE COSMIC RAYS WITH DERIV, DRIZ_CR": {"driz_cr_snr": "3.5 3.0", "driz_cr_grow": 1},
    "STEP 7: DRIZZLE FINAL COMBINED IMAGE": {"final_pixfrac": 0.8, "final_bits": "336", "final_units": "cps"},
    "STEP 7a: CUSTOM WCS FOR FINAL OUTPUT": {"final_wcs": True, "final_rot": 0.0, "final_scale": 0.025},
}


def test_a_file_of_hap_is_what_it_says(tmp_path: Path) -> None:
    file = tmp_path / "acs_hrc_astrodrizzle_any_n6.json"
    file.write_text(json.dumps(HAP))
    found = import_values(file)
    values = {one.parameter.full_name: one.value for one in found.changes}
    assert values == {
        "static_mask.enabled": True,
        "static_mask.sigma": 4.0,
        "sky.enabled": True,
        "sky.method": "match",
        "sky.lower": -100.0,
        "sky.bits": 80,
        "cosmic_rays.reset_bits": 4096,
        "cosmic_rays.snr": (3.5, 3.0),
        "cosmic_rays.grow": 0,
        "final.pixfrac": 0.8,
        "final.bits": 336,
    }
    (left,) = [note for note in found.notes if note.startswith("final.")]
    assert left.startswith("final.scale = 0.025 is left out")


def test_a_cfg_and_a_table_of_parameters(tmp_path: Path) -> None:
    cfg, toml = tmp_path / "astrodrizzle.cfg", tmp_path / "mine.toml"
    cfg.write_text(
        "_task_name_ = astrodrizzle\n[STEP 7: DRIZZLE FINAL COMBINED IMAGE]\nfinal_pixfrac = 0.7\n"
    )
    toml.write_text("[final]\npixfrac = 0.7\nscale = 0.03\n")
    for file in (cfg, toml):
        (change,) = import_values(file).changes
        assert (change.parameter.full_name, change.value) == ("final.pixfrac", 0.7)
    assert len(import_values(toml).notes) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", "{"),
        ("a.json", '{"final_pixfrac": 0.7}'),
        ("a.json", "[]"),
        ("a.toml", "[final]\nscale = 0.03\n"),
        ("a.toml", "[final]\npixfrac = 3\n"),
        ("a.cfg", "_task_name_ = tweakreg\n"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageProblemError):
        import_values(tmp_path / name)
