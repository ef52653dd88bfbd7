"""Files of a finished task in one compressed file, and back."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path, PurePosixPath

from shoal.adapters.vault import files
from shoal.errors import VaultError


def pack(root: Path, places: list[PurePosixPath], target: Path) -> None:
    """Write an archive of these files and remove them; a second time, with none left, changes nothing."""
    if not places:
        return
    packed = io.BytesIO()
    # No time in the head: the same files make the same archive.
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as pressed, tarfile.open(fileobj=pressed, mode="w") as tar:
        for place in places:
            data = files.read_bytes(root / place)
            member = tarfile.TarInfo(str(place))
            member.size = len(data)
            member.mtime = int((root / place).stat().st_mtime)
            tar.addfile(member, io.BytesIO(data))
    files.write_bytes(target, packed.getvalue())
    for place in places:
        (root / place).unlink(missing_ok=True)
    for folder in {(root / place).parent for place in places}:
        files.sync_folder(folder)


def unpack(root: Path, source: Path) -> list[PurePosixPath]:
    """Bring the files of an archive back and remove it; a file that is there already stays as it is."""
    back = []
    try:
        with tarfile.open(fileobj=io.BytesIO(files.read_bytes(source)), mode="r:gz") as tar:
            for member in tar.getmembers():
                place = PurePosixPath(member.name)
                if not member.isfile() or place.is_absolute() or ".." in place.parts:
                    raise VaultError(f"{source} holds {member.name!r}, which is no file of a vault; unpack it by hand")
                found = tar.extractfile(member)
                assert found is not None  # noqa: S101 - it is a file
                path = files.inside(root, root / place)
                if not path.exists():
                    files.write_bytes(path, found.read())
                    back.append(place)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise VaultError(f"{source} cannot be unpacked: {error}") from None
    source.unlink()
    files.sync_folder(source.parent)
    return back
