"""Files of a finished task in one compressed file, and back."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

from shoal.adapters.vault import files
from shoal.adapters.vault.layout import Layout
from shoal.errors import VaultError


def pack(root: Path, places: list[PurePosixPath], target: Path) -> None:
    """Write an archive of these files and remove them; a second time, with none left, changes nothing."""
    if not places:
        return
    packed = io.BytesIO()
    contents = {place: files.read_bytes(root / place) for place in places}
    # No time in the head: the same files make the same archive.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as pressed, tarfile.open(fileobj=pressed, mode="w") as tar:
        for place, data in contents.items():
            member = tarfile.TarInfo(str(place))
            member.size = len(data)
            member.mtime = int((root / place).stat().st_mtime)
            tar.addfile(member, io.BytesIO(data))
    files.write_bytes(target, packed.getvalue())
    for place, data in contents.items():
        # One that was saved meanwhile stays; it is in the next archive.
        if files.read_bytes(root / place) == data:
            (root / place).unlink()
    for folder in {(root / place).parent for place in places}:
        files.sync_folder(folder)


def unpack(root: Path, source: Path, layout: Layout, mark: str) -> list[PurePosixPath]:
    """Bring the files of an archive back and remove it; where those went in whose place there is another by now."""
    others = []
    try:
        with tarfile.open(fileobj=io.BytesIO(files.read_bytes(source)), mode="r:gz") as tar:
            for member in tar.getmembers():
                place = PurePosixPath(member.name)
                if not member.isfile() or place.parent not in layout.content_folders:
                    raise VaultError(f"{source} holds {member.name!r}, which is no file of a vault; unpack it by hand")
                found = tar.extractfile(member)
                assert found is not None  # noqa: S101 - it is a file
                data = found.read()
                path = files.inside(root, root / place)
                if path.exists() and files.read_bytes(path) != data:
                    place = layout.beside(place, mark)
                    path = root / place
                    others.append(place)
                files.write_bytes(path, data)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise VaultError(f"{source} cannot be unpacked: {error}") from None
    source.unlink()
    files.sync_folder(source.parent)
    return others
