"""Where files that are not Python lie: beside the package in a checkout, inside it in a wheel."""

from importlib.resources import files
from pathlib import Path

from codeact.exceptions import ConfigError

_PACKAGE = Path(__file__).parent
PACKAGE_SCHEME = "pkg://"
SEED_SCHEME = "seed://"
_MOST_DIGITS = 18


def data_folder(name: str) -> Path:
    """The folder ``conf`` or ``sandbox``."""
    for folder in (_PACKAGE / "_data" / name, _PACKAGE.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f"codeact is incomplete: no {name!r} folder beside it; install it again")


def seed_of(path: str) -> int | None:
    """The seed in ``seed://N``, which stands for tasks that are made; None for any other path.

    Raises `ConfigError` where no whole number follows.
    """
    if not path.startswith(SEED_SCHEME):
        return None
    number = path.removeprefix(SEED_SCHEME)
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        raise ConfigError(f"{path}: after {SEED_SCHEME} comes a whole number from 0 on")
    return int(number)


def resolve_path(path: str) -> Path:
    """A path of the configuration: ``pkg://package/file`` is a file that a package ships."""
    if not path.startswith(PACKAGE_SCHEME):
        return Path(path).expanduser()
    package, _, name = path.removeprefix(PACKAGE_SCHEME).partition("/")
    try:
        return Path(str(files(package).joinpath(name)))
    except ModuleNotFoundError as error:
        raise ConfigError(f"{path}: there is no package {package!r}; is it installed?") from error
