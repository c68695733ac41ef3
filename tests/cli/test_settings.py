"""The configuration: five sources in their order, unknown keys named, values checked."""

from pathlib import Path

import pytest
from hapctl.archive.errors import CatalogUsageError
from hapctl.cli.settings import KEYS, Settings, load_settings
from support.commands import Runner, run_here

pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "hapctl" / "hapctl.toml"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    path.mkdir()
    return path


def settings(folder: Path, environment: dict[str, str] | None = None, **options: object) -> Settings:
    return load_settings(options, None, environment or {}, folder)


def test_each_source_wins_over_those_before(user_file: Path, folder: Path) -> None:
    def threads(environment: dict[str, str] | None = None, **options: object) -> tuple[int, str]:
        found = settings(folder, environment, **options)
        return found.threads, found.origins["threads"]

    assert threads()[1] == "default"
    user_file.write_text("threads = 3\nwcs_policy = 'any'\n")
    assert threads() == (3, f"file {user_file}")
    project = folder / "hapctl.toml"
    project.write_text("threads = 4\n")
    assert threads() == (4, f"file {project}")
    assert threads({"HAPCTL_THREADS": "5"}) == (5, "environment HAPCTL_THREADS")
    assert threads({"HAPCTL_THREADS": "5"}, threads=6) == (6, "option --threads")
    assert threads({"HAPCTL_THREADS": "5"}, threads=None) == (5, "environment HAPCTL_THREADS")
    assert settings(folder).wcs_policy == "any"


def test_the_named_project_file_takes_the_place_of_the_one_here(folder: Path, tmp_path: Path) -> None:
    (folder / "hapctl.toml").write_text("threads = 4\n")
    other = tmp_path / "other.toml"
    other.write_text("[gaia]\nretries = 0\ntimeout = 2\n")
    found = load_settings({}, str(other), {}, folder)
    assert (found.gaia.retries, found.gaia.timeout) == (0, 2.0)
    assert found.origins["threads"] == "default"
    with pytest.raises(CatalogUsageError, match=r"none\.toml is not there"):
        load_settings({}, str(tmp_path / "none.toml"), {}, folder)


@pytest.mark.parametrize(
    ("text", "key", "remedy"),
    [
        ("thread = 4", "thread", "did you mean 'threads'?"),
        ("[gaia]\nurls = 'x'", "gaia.urls", "did you mean 'gaia.url'?"),
        ("[gaya]", "gaya", "'hapctl config show' lists the keys"),
        ("[threads]\na = 1", "threads.a", "did you mean 'threads'?"),
        ("[gaya]\nzzz = 1", "gaya.zzz", "'hapctl config show' lists the keys"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_key_and_file(
    folder: Path, text: str, key: str, remedy: str
) -> None:
    (folder / "hapctl.toml").write_text(text)
    with pytest.raises(CatalogUsageError) as caught:
        settings(folder)
    assert caught.value.message == f"unknown key '{key}' in {folder / 'hapctl.toml'}"
    assert remedy in caught.value.remedy


def test_what_is_no_toml_is_an_error_that_names_the_file(folder: Path) -> None:
    (folder / "hapctl.toml").write_text("threads = ,\n")
    with pytest.raises(CatalogUsageError, match=r"hapctl\.toml is not TOML"):
        settings(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threads", 0),
        ("threads", 1.5),
        ("threads", True),
        ("threads", "many"),
        ("home", 3),
        ("database", 3),
        ("database", " "),
        ("gaia_url", ""),
        ("memory_limit", 8.5),
        ("wcs_policy", "loose"),
        ("lookup_origin", "iraf"),
        ("memory_limit", "much"),
        ("memory_limit", "0GB"),
        ("query_timeout", 0),
        ("query_timeout", "nan"),
        ("gaia_retries", -1),
        ("gaia_timeout", "inf"),
    ],
)
def test_a_value_that_makes_no_sense_is_an_error_that_names_it(folder: Path, key: str, value: object) -> None:
    with pytest.raises(CatalogUsageError) as caught:
        settings(folder, **{key: value})
    assert caught.value.message.startswith(f"{key.replace('gaia_', 'gaia.')} = {value!r} (option --")


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8 * 1024**3), ("8 GiB", 8 * 1024**3), ("1.5k", 1536), ("1000", 1000), (7, 7)]
)
def test_sizes(folder: Path, text: object, size: int) -> None:
    assert settings(folder, memory_limit=text).memory_limit == size


def test_paths_in_a_file_are_relative_to_it(user_file: Path, folder: Path) -> None:
    user_file.write_text("home = 'state'\noutput = '/mnt/products'\n")
    found = settings(folder)
    assert found.home == user_file.parent / "state"
    assert found.output == Path("/mnt/products")


def test_products_lie_in_the_home_unless_told(folder: Path) -> None:
    assert settings(folder, home="/state").output == Path("/state/products")
    assert settings(folder, {"HAPCTL_OUTPUT": "/o"}, home="/state").output == Path("/o")


@pytest.mark.parametrize("variable", ["PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE"])
def test_the_libpq_variables_name_a_server(user_file: Path, folder: Path, variable: str) -> None:
    user_file.write_text("database = 'postgresql://file/db'\n")
    found = settings(folder, {variable: "x"})
    assert (found.database, found.origins["database"]) == ("postgresql://", f"environment {variable}")
    own = settings(folder, {variable: "x", "HAPCTL_DATABASE_URL": "postgresql://h/d"})
    assert own.database == "postgresql://h/d"
    assert settings(folder, {"PGUSER": "u", "PGPASSWORD": "p"}).database == "postgresql://file/db"
    assert settings(folder, {variable: "x"}, database="embedded").database == "embedded"


def test_config_show_prints_every_key(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HAPCTL_DATABASE_URL", "postgresql://me:secret@host/db")
    shown = run_here(("config", "show", "--json"))
    assert set(shown.json()) == {key.name for key in KEYS}
    assert shown.json()["database"] == "postgresql://me:***@host/db"
    origin = run_here(("--home", str(tmp_path / "h"), "config", "show", "--origin", "--json")).json()
    assert origin["home"]["origin"] == "option --home"
    assert origin["database"]["origin"] == "environment HAPCTL_DATABASE_URL"
    assert origin["gaia.timeout"]["variable"] == "HAPCTL_GAIA_TIMEOUT"
    text = run_here(("config", "show", "--origin")).stdout
    assert "secret" not in text
    assert all(f"{key.name} = " in text for key in KEYS)
    assert "# environment HAPCTL_DATABASE_URL" in text


def test_a_wrong_file_stops_a_command_with_exit_code_2(
    run_hapctl: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hapctl.toml").write_text("thread = 4")
    monkeypatch.chdir(folder)
    result = run_hapctl("status")
    assert result.exit_code == 2
    assert f"unknown key 'thread' in {folder / 'hapctl.toml'} (did you mean 'threads'?)" in result.stderr


def test_an_empty_table_that_is_known_is_no_error(folder: Path) -> None:
    (folder / "hapctl.toml").write_text("[gaia]\n")
    assert settings(folder).origins["gaia.url"] == "default"


def test_a_file_that_can_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "hapctl.toml").write_text("threads = 1\n")

    def refuse(path: Path, **_: object) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)  # root may read what others may not
    with pytest.raises(CatalogUsageError, match=r"hapctl\.toml can't be read: Permission denied"):
        settings(folder)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:very-secret@h/d",
        "postgresql://me:very-se@cret@h/d",
        "postgresql://h/d?user=me&password=very-secret&port=1",
        "postgresql://:very-secret@h:wrong/d",
    ],
)
def test_config_show_hides_passwords(
    folder: Path, user_file: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(folder)
    result = run_here(("--database", url, "config", "show", "--json"))
    assert "cret" not in result.stdout
    assert "***" in result.json()["database"]
