"""Where projects are: which one a folder belongs to, and where the checkout of one is. For scans, checks and jobs."""

from __future__ import annotations

from pathlib import Path

from shoal.adapters.git.reading import top_of
from shoal.errors import BadInput
from shoal.settings import Home, Settings


def checkout_of(home: Home, settings: Settings, project: str, folder: str | None = None) -> Path | None:
    """Where the checkout of a project is: as [projects] says, else a folder that was given; None for neither."""
    configured = settings.projects.get(project)
    named = folder if configured is None else configured.path
    return None if named is None else home.folder / Path(named).expanduser()


def place_meant(home: Home, settings: Settings, named: str | None) -> Path:
    """Where somebody is who names no path: at the checkout of the project that was named, else where they are."""
    return Path.cwd() if named is None else checkout_of(home, settings, named) or Path.cwd()


def project_of(home: Home, settings: Settings, path: Path, named: str | None = None) -> tuple[str, Path]:
    """The project that a file or folder belongs to, and its root: that of [projects] around it, the nearest one; else
    its repository, by the name of its top folder; else its folder. `named` is what people call it who say so.

    Raises BadInput when the path is outside of the named project.
    """
    path = path.resolve()
    roots = _roots(home, settings)
    if named is not None and named in roots:
        if not path.is_relative_to(roots[named]):
            raise BadInput(f"{path} is not in {roots[named]}, the folder of [projects.{named}]", field="path")
        return named, roots[named]
    around = [(name, root) for name, root in roots.items() if path.is_relative_to(root)]
    if around and named is None:
        return max(around, key=lambda one: len(one[1].parts))
    folder = path if path.is_dir() else path.parent
    root = top_of(folder) or folder
    return named or root.name or "default", root


def is_project(home: Home, settings: Settings, root: Path) -> bool:
    """Whether a folder is a project by itself: one of [projects], or a repository. Any other needs somebody's word."""
    return root in _roots(home, settings).values() or top_of(root) is not None


def _roots(home: Home, settings: Settings) -> dict[str, Path]:
    return {name: (home.folder / Path(one.path).expanduser()).resolve() for name, one in settings.projects.items()}
