"""Files of others: found in GMNM_DATA, among earlier downloads or at a mirror, and never trusted unchecked."""

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch

from gmnm_lib.errors import InputError

# Each mirror lays out its files as FOLDER/NAME.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com",
    "https://storage.googleapis.com/cvdf-datasets",
)
PATIENCE = 30  # seconds without an answer after which the next mirror is tried


@dataclass(frozen=True)
class Archive:
    """A gzip file known by the sha256 of its *uncompressed* bytes: archives are packed anew, contents stay."""

    folder: str
    name: str
    sha256: str
    addresses: tuple[str, ...] = ()  # where it can be downloaded from, if not from `MIRRORS`

    def find(self) -> Path | None:
        """Where the file lies on this machine: in GMNM_DATA, then among earlier downloads; None if nowhere."""
        given = data_folder()
        places = [given / self.folder, given] if given else []
        places.append(downloads() / self.folder)
        return next((place / self.name for place in places if (place / self.name).is_file()), None)

    def read(self) -> bytes:
        """The checked, uncompressed content; downloads the file if it is nowhere on this machine."""
        return self.checked(self.find() or self.download())

    def checked(self, path: Path) -> bytes:
        """The uncompressed content of `path`, or an `InputError` if it is not what the sha256 says."""
        mend = f"delete {path} to have it downloaded anew, or replace it by a sound copy"
        try:
            content = self.unpacked(path.read_bytes())
        except (gzip.BadGzipFile, tarfile.TarError, EOFError, zlib.error):
            raise InputError(f"{self.name} is cut short or is no gzip file: {mend}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}): make it readable for you") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise InputError(f"{self.name} does not hold what it should (its sha256 differs): {mend}")
        return content

    def unpacked(self, content: bytes) -> bytes:
        """What the file's sha256 is of."""
        return gzip.decompress(content)

    def download(self) -> Path:
        """The file, from the first mirror that gives it whole. It takes its name only once it is checked."""
        folder = downloads() / self.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as partial:
                whole = self.fetch_from_mirrors(Path(partial) / self.name)
                return whole.replace(folder / self.name)
        except OSError as error:
            raise InputError(
                f"{self.name} cannot be saved in {folder} ({error.strerror or error}): "
                "make room there, or set GMNM_DATA to a folder that holds the file"
            ) from error

    def fetch_from_mirrors(self, path: Path) -> Path:
        """`path` itself, once a mirror has filled it with the right content."""
        failures = []
        addresses = self.addresses or tuple(f"{mirror}/{self.folder}/{self.name}" for mirror in MIRRORS)
        for address in addresses:
            get = pooch.HTTPDownloader(progressbar=True, timeout=PATIENCE)
            try:
                get(address, path, None)
                self.checked(path)
            except (OSError, InputError) as error:  # requests' errors are OSErrors
                failures.append(type(error).__name__)
            else:
                return path
        raise InputError(
            f"{self.name} could not be downloaded from any of {len(addresses)} mirrors ({', '.join(failures)}): "
            "connect to a network, or set GMNM_DATA to a folder that holds the file"
        )


class PlainFile(Archive):
    """A file known by the sha256 of its own bytes."""

    def unpacked(self, content: bytes) -> bytes:
        return content


class PackedFolder(Archive):
    """Files of one kind in a .tar.gz, whatever else it holds: known by `as_tar` of their names and contents."""

    ending = ".wav"

    def unpacked(self, content: bytes) -> bytes:
        files = {}
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.name.endswith(self.ending) else None
                if file:
                    files[PurePosixPath(member.name).name] = file.read()
        return as_tar(files)


def as_tar(files: dict[str, bytes]) -> bytes:
    """An uncompressed archive of the files by name, without folders, dates and owners: the same files, the same bytes."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return packed.getvalue()


def data_folder() -> Path | None:
    """The folder that GMNM_DATA names; None where it is not set."""
    given = os.environ.get("GMNM_DATA")
    if not given:
        return None
    if not Path(given).is_dir():
        raise InputError(f"GMNM_DATA names {given}, which is no folder: correct it, or unset it to download the data")
    return Path(given)


def downloads() -> Path:
    """The folder of earlier downloads, where this system keeps what programs can fetch again."""
    return Path(pooch.os_cache("gmnm"))


def whereabouts_of(archives: Iterable[Archive]) -> str:
    """The folder that holds the archives, or "needs download" if one is missing."""
    found = [archive.find() for archive in archives]
    return str(found[0].parent) if found[0] and all(found) else "needs download"
