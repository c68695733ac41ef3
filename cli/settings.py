"""The configuration: defaults, user file, project file, environment, options; later ones win.

`KEYS` is the only list of what can be set. In TOML a dotted key is a table (``[gaia]`` holds ``timeout``);
a key that is not listed is an error that names the key and the file.
"""

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.archive.errors import CatalogUsageError

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog

EMBEDDED = "embedded"
# Any of these says that the user's own server is meant; PGUSER or PGPASSWORD alone name no server.
LIBPQ_VARIABLES = ("PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT]?)i?B?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


@dataclass(frozen=True)
class GaiaSettings:
    """How Gaia is asked.

    Attributes
    ----------
    url : str
        TAP service.
    timeout : float
        Seconds until an attempt is given up.
    retries : int
        Further attempts after the first.
    release : str
        Reference catalog, as in WCSNAME.
    """

    url: str
    timeout: float
    retries: int
    release: str


@dataclass(frozen=True)
class ServiceSettings:
    """Where other services are asked, and how patiently.

    Attributes
    ----------
    vizier : str
        TAP service of VizieR: GSC 2.4.2, 2MASS, Pan-STARRS1 DR1.
    mast : str
        MAST's catalogs: Pan-STARRS1 DR2.
    astrometry : str
        MAST's astrometry service: known WCS solutions.
    timeout : float
        Seconds until an attempt is given up.
    retries : int
        Further attempts after the first.
    """

    vizier: str
    mast: str
    astrometry: str
    timeout: float
    retries: int


@dataclass(frozen=True)
class Settings:
    """The configuration in effect.

    Attributes
    ----------
    home : Path
        Where all state lives.
    database : str
        ``embedded``, or the URL of a PostgreSQL server.
    reader : str
        URL by which `hapctl sql` and `hapctl query` log in; empty for ``hapctl_reader`` at `database`.
    output : Path
        Folder of products.
    threads, workers : int
        Threads of a kernel; processes of a command.
    memory_limit : int
        Bytes a command may use.
    query_timeout : float
        Seconds a question to the catalog may take.
    wcs_policy : str
        ``strict``, ``absolute`` or ``any``.
    lookup_origin : str
        ``hst`` or ``fits``: where a distortion lookup table begins.
    gaia : GaiaSettings
        How Gaia is asked.
    services : ServiceSettings
        How other services are asked.
    origins : dict of str to str
        Where each value comes from, by key.
    """

    home: Path
    database: str
    reader: str
    output: Path
    threads: int
    workers: int
    memory_limit: int
    query_timeout: float
    wcs_policy: str
    lookup_origin: str
    gaia: GaiaSettings
    services: ServiceSettings
    origins: dict[str, str]

    def value(self, key: str) -> Any:
        """Return the value of a dotted key."""
        found: Any = self
        for part in key.split("."):
            found = getattr(found, part)
        return found


@dataclass(frozen=True)
class Key:
    """One thing that can be set: its name, how a value is read, its default, its variable, its meaning."""

    name: str
    parse: Callable[[Any], Any]
    default: Callable[[], Any]
    help: str

    @property
    def variable(self) -> str:
        """The environment variable of this key."""
        return _VARIABLES.get(self.name, "HAPCTL_" + self.name.replace(".", "_").upper())


def key_named(name: str) -> Key:
    """Return what can be set under a name, such as ``gaia.url``."""
    return _BY_NAME[name]


def settings_from(ctx: click.Context, **options: Any) -> Settings:
    """Return the configuration in effect for a command.

    Parameters
    ----------
    ctx : click.Context
        The command's context; the options of ``hapctl`` itself are in ``ctx.obj``.
    **options
        Options of the command that override a key (dots written ``_``, as in ``gaia_url``); None: not given.

    Raises
    ------
    CatalogUsageError
        An unknown key or a value that can't be understood; names key and origin.
    """
    given = ctx.obj or {}
    chosen = {"home": given.get("home"), "database": given.get("database"), **options}
    return load_settings(chosen, given.get("config_file"), dict(os.environ), Path.cwd())


def load_settings(
    options: dict[str, Any], config_file: str | None, environment: dict[str, str], folder: Path
) -> Settings:
    """Return the configuration from its five sources; `folder` is where a project file is looked for."""
    found: dict[str, tuple[Any, str]] = {}
    for path in _files(config_file, folder):
        found.update(_read_file(path))
    found.update(_read_environment(environment))
    for name, value in options.items():
        if value is not None:
            key = _BY_OPTION[name]
            found[key.name] = (value, f"option --{_OPTION_NAMES.get(name, name.replace('_', '-'))}")
    return _assemble(found)


def open_from(ctx: click.Context, **options: Any) -> tuple[Settings, "Catalog"]:
    """Return the configuration and the open catalog; starts the embedded server where no other is named.

    A new embedded database gets its schema at once. Options as for `settings_from`.
    """
    from hapctl.cli.opening import open_catalog_of

    settings = settings_from(ctx, **options)
    catalog = open_catalog_of(settings)
    ctx.call_on_close(catalog.close)
    return settings, catalog


def _files(config_file: str | None, folder: Path) -> list[Path]:
    files = [user_file()]
    if config_file is not None:
        path = Path(config_file)
        if not path.is_file():
            raise CatalogUsageError(f"the configuration file {path} is not there", "check --config")
        files.append(path)
    else:
        files.append(folder / "hapctl.toml")
    return [path for path in files if path.is_file()]


def user_file() -> Path:
    """Return where the user's configuration file is looked for."""
    from platformdirs import user_config_path

    return user_config_path("hapctl") / "hapctl.toml"


def _read_file(path: Path) -> dict[str, tuple[Any, str]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CatalogUsageError(f"{path} can't be read: {error.strerror}", f"chmod u+r {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CatalogUsageError(f"{path} is not TOML: {error}", "correct the file") from error
    found = {}
    for name, value in _flat(document).items():
        if isinstance(value, dict) and any(key.name.startswith(f"{name}.") for key in KEYS):
            continue
        if name not in _BY_NAME:
            raise CatalogUsageError(f"unknown key '{name}' in {path}", _suggestion(name))
        found[name] = (_beside(value, path) if name in _PATHS else value, f"file {path}")
    return found


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in document.items():
        # An empty table is kept, to be judged by its name.
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _beside(value: Any, path: Path) -> Any:
    """Read a relative path as relative to the file it stands in."""
    return str(path.parent / Path(value).expanduser()) if isinstance(value, str) else value


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, _BY_NAME, 1)
    return f"did you mean '{close[0]}'?" if close else "'hapctl config show' lists the keys"


def _read_environment(environment: dict[str, str]) -> dict[str, tuple[Any, str]]:
    found: dict[str, tuple[Any, str]] = {}
    for variable in LIBPQ_VARIABLES:
        if environment.get(variable):
            found["database"] = ("postgresql://", f"environment {variable}")
            break
    for key in KEYS:
        if environment.get(key.variable):
            found[key.name] = (environment[key.variable], f"environment {key.variable}")
    return found


def _assemble(found: dict[str, tuple[Any, str]]) -> Settings:
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key in KEYS:
        if key.name in found:
            value, origins[key.name] = found[key.name]
            values[key.name] = _parsed(key, value, origins[key.name])
        else:
            values[key.name], origins[key.name] = key.default(), "default"
    if origins["output"] == "default":
        values["output"] = values["home"] / "products"
    gaia, services = _group("gaia", values), _group("services", values)
    return Settings(
        gaia=GaiaSettings(**gaia), services=ServiceSettings(**services), origins=origins, **values
    )


def _group(name: str, values: dict[str, Any]) -> dict[str, Any]:
    """Take the values of a group out of all values, by their names within it."""
    keys = [key for key in values if key.startswith(f"{name}.")]
    return {key.split(".")[1]: values.pop(key) for key in keys}


def _parsed(key: Key, value: Any, origin: str) -> Any:
    try:
        return key.parse(value)
    except (TypeError, ValueError) as error:
        raise CatalogUsageError(f"{key.name} = {value!r} ({origin}): {error}", key.help) from error


def _path(value: Any) -> Path:
    if not isinstance(value, str | Path):
        raise TypeError("must be a path")
    return Path(value).expanduser().absolute()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("must be a text")
    return value


def _not_empty(value: Any) -> str:
    if not (text := _text(value).strip()):
        raise ValueError("must not be empty")
    return text


def _at_least(minimum: int) -> Callable[[Any], int]:
    def parse(value: Any) -> int:
        if isinstance(value, bool | float):
            raise TypeError("must be a whole number")
        if (number := int(value)) < minimum:
            raise ValueError(f"must be {minimum} or more")
        return number

    return parse


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("must be a number")
    if not 0 < (number := float(value)) < float("inf"):
        raise ValueError("must be more than 0 seconds")
    return number


def _bytes(value: Any) -> int:
    match = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool | float) or match is None:
        raise ValueError("must be a size such as 8GB")
    size = int(float(match[1]) * 1024 ** _POWERS[match[2].upper()])
    if size <= 0:
        raise ValueError("must be more than 0")
    return size


def _one_of(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(value)

    return parse


def _default_home() -> Path:
    from platformdirs import user_data_path

    return user_data_path("hapctl")


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _three_quarters_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4


_VARIABLES = {
    "database": "HAPCTL_DATABASE_URL",
    "reader": "HAPCTL_READER_URL",
    "services.astrometry": "ASTROMETRY_SERVICE_URL",  # as the archive's own pipeline has it
}
_TAP_VIZIER = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap"
_MAST_CATALOGS = "https://catalogs.mast.stsci.edu"
_ASTROMETRY = "https://mast.stsci.edu/portal/astrometryDB/"
_PATHS = ("home", "output")
_OPTION_NAMES = {"memory_limit": "max-memory"}
KEYS: tuple[Key, ...] = (
    Key("home", _path, _default_home, "where all state lives"),
    Key("database", _not_empty, lambda: EMBEDDED, "embedded, or postgresql://user@host/database"),
    Key("reader", _text, str, "URL by which 'hapctl sql' logs in, for a server that wants a password"),
    Key("output", _path, Path, "folder of products (default: products in home)"),
    Key("threads", _at_least(1), _processors, "threads of a kernel"),
    Key("workers", _at_least(1), _processors, "processes of a command"),
    Key("memory_limit", _bytes, _three_quarters_of_memory, "bytes a command may use, such as 8GB"),
    Key("query_timeout", _seconds, lambda: 60.0, "seconds a question to the catalog may take"),
    Key("wcs_policy", _one_of("strict", "absolute", "any"), lambda: "strict", "strict, absolute or any"),
    Key("lookup_origin", _one_of("hst", "fits"), lambda: "hst", "where lookup tables begin: hst or fits"),
    Key("gaia.url", _not_empty, lambda: "https://gea.esac.esa.int/tap-server/tap", "TAP service"),
    Key("gaia.timeout", _seconds, lambda: 300.0, "seconds until an attempt is given up"),
    Key("gaia.retries", _at_least(0), lambda: 3, "further attempts after the first"),
    Key("gaia.release", _not_empty, lambda: "GAIADR3", "reference catalog, as in WCSNAME"),
    Key("services.vizier", _not_empty, lambda: _TAP_VIZIER, "TAP service of VizieR: GSC242, 2MASS, PS1DR1"),
    Key("services.mast", _not_empty, lambda: _MAST_CATALOGS, "MAST's catalogs: PS1DR2"),
    Key("services.astrometry", _not_empty, lambda: _ASTROMETRY, "known WCS solutions of exposures"),
    Key("services.timeout", _seconds, lambda: 120.0, "seconds until an attempt is given up"),
    Key("services.retries", _at_least(0), lambda: 3, "further attempts after the first"),
)
_BY_NAME = {key.name: key for key in KEYS}
_BY_OPTION = {key.name.replace(".", "_"): key for key in KEYS}
