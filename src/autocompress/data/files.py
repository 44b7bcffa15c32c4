"""The files below a folder: examples of one kind, other files, and what cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autocompress.data.decode import is_picture
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["IMAGES", "PICTURES", "TEXTS", "Folder", "Kind", "Survey", "scan", "survey"]

# fmt: off
_IMAGES = {
    ".apng", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc",
    ".jpe", ".jpeg", ".jpf", ".jpg", ".jpx", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm", ".tif",
    ".tiff", ".webp",
}
# fmt: on

#: Image formats that cannot be read here; they are refused, since skipping them loses examples.
# fmt: off
_FOREIGN = {
    ".arw", ".cr2", ".cr3", ".dcm", ".dds", ".dng", ".emf", ".eps", ".exr", ".fits", ".hdr",
    ".heic", ".heif", ".icns", ".ico", ".jxl", ".nef", ".nii", ".orf", ".pcx", ".pef", ".psd",
    ".raf", ".raw", ".rw2", ".svg", ".tga", ".wmf", ".xbm", ".xcf", ".xpm",
}
# fmt: on

#: Suffixes of pictures, whether they can be read here or not.
PICTURES = frozenset(_IMAGES | _FOREIGN)

#: Files that operating systems create, in addition to all names that begin with a dot.
_JUNK = {"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r", "$recycle.bin"}

_DEEPEST = 64


@dataclass(frozen=True)
class Kind:
    """The files that are the examples of a set.

    Args:
        noun: Word for an example.
        suffix: Usual suffix of its file.
        holds: Whether a file is one.
        foreign: Suffixes of files that would be examples if they could be read here.
    """

    noun: str
    suffix: str
    holds: Callable[[Path], bool]
    foreign: frozenset[str] = frozenset()


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in _IMAGES or is_picture(file)


def _is_text(file: Path) -> bool:
    return file.suffix.lower() == TEXTS.suffix


IMAGES = Kind("image", ".png", _is_image, frozenset(_FOREIGN))
TEXTS = Kind("text", ".txt", _is_text)


@dataclass
class Folder:
    """A folder's content, without hidden files and those of the operating system.

    Args:
        path: Path of the folder.
        kind: Kind of the examples.
        examples: Examples directly in it, by name.
        others: Other files directly in it.
        folders: Folders directly in it, by name.
    """

    path: Path
    kind: Kind
    examples: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the folder's own name."""
        return self.path.name

    @property
    def count(self) -> int:
        """Return the number of examples in it and below."""
        return len(self.examples) + sum(inner.count for inner in self.folders.values())

    def all_examples(self) -> Iterator[Path]:
        """Yield the examples in it and below, sorted by name."""
        yield from self.examples
        for inner in self.folders.values():
            yield from inner.all_examples()

    def all_others(self) -> Iterator[Path]:
        """Yield the files in it and below that are not examples."""
        yield from self.others
        for inner in self.folders.values():
            yield from inner.all_others()


@dataclass(frozen=True)
class Survey:
    """Everything below a folder, with what cannot be read.

    Args:
        found: The folder's content.
        faults: Reasons why entries cannot be read, by their path.
        foreign: Examples of a format that cannot be read here.
    """

    found: Folder
    faults: dict[Path, str]
    foreign: list[Path]


def scan(root: Path, kind: Kind) -> Folder:
    """Return everything below a folder, following links.

    Args:
        root: The folder.
        kind: Kind of the examples.

    Raises:
        DataError: A folder cannot be listed, a link leads nowhere or to a folder around it, an
            entry is neither file nor folder, or there are examples of an unsupported format.
    """
    seen = survey(root, kind)
    for path, reason in seen.faults.items():
        raise DataError(f"{path} {reason}")
    if seen.foreign:
        names = some([str(path.relative_to(root)) for path in seen.foreign])
        one = len(seen.foreign) == 1
        kinds = "picture of a kind that is" if one else "pictures of kinds that are"
        raise DataError(
            f"{root} holds {len(seen.foreign)} {kinds} not supported: {names}. "
            "Convert them to .png or .jpg, or take them out"
        )
    return seen.found


def survey(root: Path, kind: Kind) -> Survey:
    """Return everything below a folder, following links, and what :func:`scan` would refuse."""
    seen = Survey(Folder(root, kind), {}, [])
    _walk(seen.found, (), seen)
    return seen


def _walk(folder: Folder, around: tuple[Path, ...], seen: Survey) -> None:
    """Fill a folder, and the survey with what cannot be read below it."""
    path, real = folder.path, folder.path.resolve()
    if real in around:
        seen.faults[path] = "is a link back to a folder that holds it; remove the link"
        return
    if len(around) >= _DEEPEST:
        seen.faults[path] = f"lies more than {_DEEPEST} folders deep; move its files up"
        return
    try:
        entries = [
            (entry, entry.is_dir(), entry.is_file())
            for entry in sorted(path.iterdir())
            if not entry.name.startswith(".") and entry.name.lower() not in _JUNK
        ]
    except OSError as error:
        seen.faults[path] = f"cannot be listed: {error.strerror}"
        return
    for entry, is_folder, is_file in entries:
        if is_folder:
            folder.folders[entry.name] = Folder(entry, folder.kind)
            _walk(folder.folders[entry.name], (*around, real), seen)
        elif not is_file:
            what = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
            seen.faults[entry] = f"is {what}; remove it"
        elif entry.suffix.lower() in folder.kind.foreign:
            seen.foreign.append(entry)
        else:
            of = folder.examples if folder.kind.holds(entry) else folder.others
            of.append(entry)
