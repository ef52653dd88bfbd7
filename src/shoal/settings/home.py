"""A home, and the settings in force there."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from shoal.errors import BadInput, StoreMissing
from shoal.mistakes import explain, line_of, nearest
from shoal.settings.settings import SINGLE_TABLES, TABLES, Settings

CONFIG_FILE = "shoal.toml"
DATABASE_FILE = "ledger.db"
CONFIG_LIMIT = 1_000_000  # bytes
LISTS = frozenset({"unreachable_seconds"})  # in the environment with commas


def _dotted(*names: str) -> str:
    """The beginning of a table's name as TOML writes it."""
    shown = (re.sub(r"//[^/@]*@", "//", name) for name in names[:2])  # a repository's name may be a URL with a password
    return ".".join(name if re.fullmatch(r"[\w-]+", name, re.ASCII) else f'"{name}"' for name in shown)


class Home:
    """A folder that holds one ledger: its database, configuration, backups and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.config = self.folder / CONFIG_FILE
        self.database = self.folder / DATABASE_FILE
        self.backups = self.folder / "backups"
        self.logs = self.folder / "logs"
        self.server_file = self.folder / "server.json"

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def exists(self) -> bool:
        """Whether `shoal init` or `shoal serve` has been here."""
        return self.config.exists()

    def settings(self, **given: Any) -> Settings:
        """The settings in force here; what is given and not None goes before everything else."""
        values, text = self._written()
        self._check(values, text)
        names = set(Settings.__struct_fields__) - set(TABLES)
        variables = {name: os.environ.get(f"SHOAL_{name.upper()}") for name in names}
        # Elsewhere an empty variable is one that was not set; here it says: no vault.
        for name, there in variables.items():
            if there or (there == "" and name == "vault"):
                values[name] = there.split(",") if name in LISTS else there
        values |= {name: value for name, value in given.items() if value is not None}
        try:
            return msgspec.convert(values, Settings, strict=False)
        except msgspec.ValidationError as error:
            field, message = explain(error, Settings)
            if field in values and not variables.get(field) and given.get(field) is None:
                raise self._wrong(f"{field}: {message}", text, field) from None
            raise BadInput(f"{self.config} or the environment: {field}: {message}", field=CONFIG_FILE) from None

    def _written(self) -> tuple[dict[str, Any], str]:
        """What shoal.toml says, and its text; nothing where there is none. Raises BadInput, and never waits for it."""
        try:
            # Another kind of file (a FIFO, a device) might never answer or never end.
            with open(os.open(self.config, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise BadInput(f"{self.config} is not a plain file; write the settings into one", field=CONFIG_FILE)
                written = file.read(CONFIG_LIMIT + 1)
        except (FileNotFoundError, NotADirectoryError):
            return {}, ""
        except OSError as error:
            raise BadInput(f"{self.config} cannot be read ({error.strerror}); check its owner and mode") from None
        if len(written) > CONFIG_LIMIT:
            raise BadInput(f"{self.config} is larger than {CONFIG_LIMIT:,} bytes", field=CONFIG_FILE)
        import tomllib

        try:
            text = written.decode()
            return tomllib.loads(text), text
        except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, nested without end
            raise BadInput(f"{self.config} is not valid TOML: {error}", field=CONFIG_FILE) from None

    def _check(self, written: dict[str, Any], text: str) -> None:
        """Refuse what shoal.toml cannot mean, table by table, so that the message names the one that is wrong."""

        for name, value in written.items():
            kind = TABLES.get(name)
            if kind is None and isinstance(value, dict):
                raise self._wrong(
                    f"[{_dotted(name, *value)}] there is no such table{nearest(name, TABLES)}", text, name
                )
            if kind is None and name not in Settings.__struct_fields__:
                near = nearest(name, Settings.__struct_fields__)
                raise self._wrong(f"{name}: there is no such setting{near}", text, name)
            if kind is None:
                continue
            is_one = name in SINGLE_TABLES
            if not isinstance(value, dict) or not (is_one or all(isinstance(one, dict) for one in value.values())):
                form = f"[{name}]" if is_one else f"[{name}.NAME]"
                raise self._wrong(f"{name}: it is written as a table, {form}", text, name)
            for place, table in [((name,), value)] if is_one else [((name, part), one) for part, one in value.items()]:
                try:
                    msgspec.convert(table, kind, strict=False)
                except msgspec.ValidationError as error:
                    field, message = explain(error, kind)
                    key = re.split(r"[.\[]", field or "", maxsplit=1)[0]
                    what = f"{field}: {message}" if field else message
                    raise self._wrong(f"[{_dotted(*place)}] {what}", text, *place, key) from None

    def _wrong(self, what: str, text: str, *path: str) -> BadInput:
        line = line_of(text, path)
        return BadInput(f"{self.config}{f', line {line}' if line else ''}: {what}", field=CONFIG_FILE)

    def database_address(self, settings: Settings) -> str:
        """The database that these settings name; a relative path is meant from the home."""
        if settings.db is None:
            return str(self.database)
        if "://" in settings.db:
            return settings.db
        return str(self.folder / settings.db)

    def vault(self, settings: Settings) -> Path | None:
        """The vault's folder, if there is to be one."""
        return self.folder / Path(settings.vault).expanduser() if settings.vault else None

    def create(self) -> None:
        """Make the folder and its configuration; what is there already stays as it is. Within a repository it is
        ignored: `git add -A` takes no ledger.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        ignored = self.folder / ".gitignore"
        if not ignored.exists() and any((one / ".git").exists() for one in self.folder.resolve().parents):
            ignored.write_text("*\n", encoding="utf-8")
        if not self.config.exists():
            self.config.write_text(
                "# Settings of this Shoal home; each one, with its default: shoal reference settings\n",
                encoding="utf-8",
            )

    def expect_database(self, address: str) -> None:
        """Refuse to go on when the database of an existing home has vanished."""
        if "://" in address or Path(address).exists() or not self.exists:
            return
        backups = sorted(self.backups.glob("*.db"), reverse=True) if self.backups.is_dir() else []
        if backups:
            raise StoreMissing(
                f"{address} has vanished; restore the newest of {len(backups)} backups with "
                f"`shoal restore {backups[0]}`, or `shoal init --new-database` to begin again empty"
            )
        raise StoreMissing(
            f"{address} has vanished and {self.backups} holds no backup; bring the file back, "
            "or `shoal init --new-database` to begin again empty"
        )


def find_home(given: str | os.PathLike[str] | None = None) -> Home:
    """The home: given, else $SHOAL_HOME, else the nearest .shoal upwards, else the user's data folder."""
    chosen = given or os.environ.get("SHOAL_HOME")
    if chosen:
        return Home(Path(chosen).expanduser())
    here = Path.cwd()
    for folder in [here, *here.parents]:
        if (folder / ".shoal" / CONFIG_FILE).exists():
            return Home(folder / ".shoal")
    import platformdirs

    return Home(Path(platformdirs.user_data_dir("shoal")))
