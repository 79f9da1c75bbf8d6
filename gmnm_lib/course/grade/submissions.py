"""A class's notebooks, found in a folder or in the file that Moodle or Canvas gives: read, never parsed, never unpacked.

What lies in there was named and made by strangers. Nothing is written to the disk, no link is followed, no file is read
beyond a limit, and whatever cannot be used stays in the list with the reason, so that nobody drops out of the class unseen.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gmnm_lib.course.grade.ledger import FILE as LEDGER
from gmnm_lib.course.grade.legible import legible_line
from gmnm_lib.course.grade.records import Student, Submission
from gmnm_lib.errors import InputError

LARGEST = 20_000_000  # bytes of one notebook
MOST = 10_000  # files in a zip
COMPARED = 10  # notebooks of one student that are read at all
DEPTH = 12  # folders within folders
NOTEBOOK = (".ipynb", ".ipynb.txt", ".ipynb.json")  # some browsers add a suffix when they save
MOODLE = re.compile(r"(?P<name>.+?)_(?P<number>[0-9]{1,18})_assignsubmission_[a-z]+(?:_(?P<rest>.*))?", re.DOTALL)
CANVAS = re.compile(r"(?P<name>.+?)(?:_LATE)?_(?P<number>[0-9]{1,18})_[0-9]{1,18}_(?P<rest>.+)", re.DOTALL)

# Students choose their own names and their files'. Eve, who calls herself "Eve_7_1_a", must not become student 7.
NUMBERS = re.compile(r"(?:^|_)[0-9]+_(?:assignsubmission_|[0-9]{5,}_)")

Read = Callable[[], tuple[bytes, str]]  # (the content, what is the trouble with it)


@dataclass(frozen=True)
class _Entry:
    """A file, or a folder. parts: of its path within what was handed over. read: of a notebook, or what stands for one."""

    parts: tuple[str, ...]
    read: Read | None = None
    is_folder: bool = False


def _file(parts: tuple[str, ...], read: Read) -> _Entry:
    return _Entry(parts, read if parts[-1].lower().endswith(NOTEBOOK) else None)


@dataclass
class _Pile:
    """All that belongs to one student."""

    student: Student
    others: list[str] = field(default_factory=list)
    notebooks: list[tuple[str, Read]] = field(default_factory=list)  # (file, how to read it)


def find_submissions(path: str | Path) -> list[Submission]:
    """One Submission a student, sorted by the student's key; keys are unique.

    path: a folder of notebooks, a folder with a folder a student, the zip file or unpacked folder of Moodle's or Canvas's
    download, or one notebook. Raises InputError where none of these is there.
    """
    path = Path(path)
    if path.is_dir():
        entries = _unwrapped(list(_in_folder(path)), is_archive=False)
    elif not path.exists():
        raise InputError(f"{path} does not exist: name a folder of notebooks, or the zip file of Moodle or Canvas")
    elif path.name.lower().endswith(NOTEBOOK):
        entries = [_file((path.name,), _reader_of_file(path, os.O_RDONLY))]
    elif path.is_file() and zipfile.is_zipfile(path):
        entries = _unwrapped(_in_zip(path), is_archive=True)
    else:
        raise InputError(f"{path} is neither a folder, a zip file nor a notebook: name one of these")
    entries.sort(key=lambda entry: entry.parts)
    has_canvas_names = _has_canvas_names(entries)
    piles = _piles(entries, has_canvas_names)
    if not any(pile.notebooks for pile in piles) and not any(p.student.moodle or p.student.canvas for p in piles):
        raise InputError(f"{path} holds no notebooks: name the folder or the zip file that the .ipynb files are in")
    return sorted((_submission(pile) for pile in piles), key=lambda one: one.student.key)


def _in_folder(root: Path) -> Iterator[_Entry]:
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with os.scandir(root.joinpath(*parts)) as found:
                there = list(found)
        except OSError as error:
            if not parts:
                raise InputError(f"{root} cannot be read ({error.strerror}): check its permissions") from None
            yield _Entry(parts, _refusal(f"the folder cannot be read ({error.strerror}): check its permissions"))
            continue
        for one in there:
            place = (*parts, one.name)
            if _is_ignored(place):
                continue
            if one.is_dir(follow_symlinks=False):
                if (root.joinpath(*place) / LEDGER).is_file() and not any(root.joinpath(*place).glob("*.ipynb")):
                    continue  # the marks of an earlier run
                yield _Entry(place, is_folder=True)
                if len(place) < DEPTH:
                    waiting.append(place)
            elif one.is_symlink() and one.is_dir():
                yield _Entry(place, _refusal("it is a link, and links are not followed: put the folder itself there"))
            else:
                yield _file(place, _reader_of_file(root.joinpath(*place), os.O_RDONLY | os.O_NOFOLLOW))


def _reader_of_file(path: Path, flags: int) -> Read:
    def read() -> tuple[bytes, str]:
        try:
            handle = os.open(path, flags | os.O_NONBLOCK)  # a pipe that nobody writes to would wait for ever
        except OSError as error:
            is_link = error.errno == errno.ELOOP
            link = "it is a link, and links are not followed: put the file itself there"
            return b"", link if is_link else f"it cannot be read ({error.strerror}): check its permissions"
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b"", "it is no file but a pipe or a device: hand in the notebook again"
            try:
                return _limited(file.read(LARGEST + 1))
            except OSError as error:
                return b"", f"it cannot be read ({error.strerror}): hand in the notebook again"

    return read


def _in_zip(path: Path) -> list[_Entry]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is a damaged zip file ({error}): download it again") from None
    members = archive.infolist()
    if len(members) > MOST:
        raise InputError(f"{path} holds {len(members):,} files, more than {MOST:,}: unpack it and name the folder")
    entries = []
    for member in members:
        pieces = member.filename.replace("\\", "/").split("/")
        parts = tuple(piece for piece in pieces if piece not in ("", ".", ".."))
        if parts and not _is_ignored(parts):
            is_folder = pieces[-1] == ""
            read = _reader_of_member(archive, member)
            entries.append(_Entry(parts, is_folder=True) if is_folder else _file(parts, read))
    return entries


def _reader_of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Read:
    def read() -> tuple[bytes, str]:
        if member.flag_bits & 1:
            return b"", "it is encrypted: hand it in without a password"
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Python unpacks these a whole block at a time, however little is asked for.
            return b"", "it is packed in an unusual way: unpack the zip file and name the folder"
        try:
            with archive.open(member) as file:
                return _limited(file.read(LARGEST + 1))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            return b"", f"it is damaged ({legible_line(str(error))}): hand it in again"

    return read


def _limited(content: bytes) -> tuple[bytes, str]:
    if len(content) > LARGEST:
        return b"", f"it is larger than {LARGEST // 1_000_000} MB: hand it in without its outputs"
    return content, ""


def _refusal(trouble: str) -> Read:
    return lambda: (b"", trouble)


def _is_ignored(parts: tuple[str, ...]) -> bool:
    """Notebooks' checkpoints, what a Mac adds to a zip, and all that is hidden."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _unwrapped(entries: list[_Entry], *, is_archive: bool) -> list[_Entry]:
    """Without the one folder that everything may lie in: a class packed as a folder is the same class.

    A folder of a folder stays as it is unless the names say which system it came from, for it may be one student's.
    """
    tops = {entry.parts[0] for entry in entries}
    inner = [replace(entry, parts=entry.parts[1:]) for entry in entries if len(entry.parts) > 1]
    if len(tops) != 1 or not inner or MOODLE.fullmatch(min(tops)):
        return entries
    is_system = any(MOODLE.fullmatch(entry.parts[0]) for entry in inner) or _has_canvas_names(inner)
    is_class = is_archive and sum(entry.read is not None for entry in inner) > 1
    return _unwrapped(inner, is_archive=is_archive) if is_system or is_class else entries


def _has_canvas_names(entries: list[_Entry]) -> bool:
    """Canvas names each file after its student. A folder is Canvas's if all of its notebooks are named so."""
    named = [CANVAS.fullmatch(entry.parts[0]) for entry in entries if len(entry.parts) == 1 and entry.read]
    return bool(named) and all(named)


def _piles(entries: list[_Entry], has_canvas_names: bool) -> list[_Pile]:
    piles: dict[tuple[str, str], _Pile] = {}
    keys: set[str] = set()
    for entry in entries:
        kind, label, name, number = _owner(entry, has_canvas_names)
        entry = _doubted(entry, has_canvas_names)
        if not label:
            continue
        pile = piles.get((kind, label))
        if pile is None:
            key = legible_line(f"{name}_{number}" if number else name) or "unnamed"
            while key in keys or len(key) > 120:
                digest = hashlib.sha256(f"{key}\0{kind}\0{label}".encode(errors="surrogatepass")).hexdigest()
                key = f"{key[:100]}~{digest[:10]}"
            keys.add(key)
            numbers = {kind: number} if number else {}
            pile = piles[kind, label] = _Pile(Student(key, legible_line(name) or "unnamed", **numbers))
        if entry.read is not None:
            pile.notebooks.append((_shown(entry.parts), entry.read))
        elif not entry.is_folder:
            pile.others.append(entry.parts[-1])
    return list(piles.values())


def _owner(entry: _Entry, has_canvas_names: bool) -> tuple[str, str, str, str]:
    """(system, what the system or the files tell students apart by, name, number). No label: a file of nobody."""
    top = unicodedata.normalize("NFC", entry.parts[0])  # a Mac and a Linux spell the same name in two ways
    kind, found = _named(entry, has_canvas_names)
    if found and not NUMBERS.search(found["rest"] or ""):
        return kind, found["number"], unicodedata.normalize("NFC", found["name"]), found["number"]
    if len(entry.parts) == 1 and not entry.is_folder:
        stem = next((top[: -len(suffix)] for suffix in NOTEBOOK if top.lower().endswith(suffix)), top)
        top = stem if entry.read is not None else ""
    return "", top, top, ""


def _named(entry: _Entry, has_canvas_names: bool) -> tuple[str, re.Match[str] | None]:
    """(system, what its way of naming tells)."""
    if found := MOODLE.fullmatch(entry.parts[0]):
        return "moodle", found
    return "canvas", CANVAS.fullmatch(entry.parts[0]) if has_canvas_names and len(entry.parts) == 1 else None


def _doubted(entry: _Entry, has_canvas_names: bool) -> _Entry:
    """Never read where the name holds two students' numbers."""
    _, found = _named(entry, has_canvas_names)
    if found and entry.read and NUMBERS.search(found["rest"] or ""):
        return replace(
            entry, read=_refusal("its name holds the numbers of two students: see whose it is and rename it")
        )
    return entry


def _shown(parts: tuple[str, ...]) -> str:
    return legible_line("/".join(parts), 200)


def _submission(pile: _Pile) -> Submission:
    """The one notebook of a student, or why there is none."""
    shown = [file for file, _ in pile.notebooks]
    if not pile.notebooks:
        others = f", only {_listed(sorted(map(legible_line, pile.others)))}" if pile.others else ""
        return Submission(pile.student, "", b"", f"there is no notebook{others}: hand in the .ipynb file")
    if len(pile.notebooks) > COMPARED:
        return Submission(pile.student, shown[0], b"", _choose(shown))
    content, trouble = pile.notebooks[0][1]()
    for _, read in pile.notebooks[1:]:
        other, other_trouble = read()
        if trouble or other_trouble or other != content:
            return Submission(pile.student, shown[0], b"", _choose(shown))
    return Submission(pile.student, shown[0], content, f"{shown[0]}: {trouble}" if trouble else "")


def _choose(shown: list[str]) -> str:
    return f"there are {len(shown)} notebooks, {_listed(shown)}: only one can be marked, so leave the one that counts"


def _listed(names: list[str]) -> str:
    counted = [f"{name} (twice)" if count == 2 else name for name, count in Counter(names).items()]
    return ", ".join(counted[:5]) + (f" and {len(counted) - 5} more" if len(counted) > 5 else "")
