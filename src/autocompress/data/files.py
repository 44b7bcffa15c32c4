"""The files below a folder: images, other files, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autocompress.data.decode import is_picture
from autocompress.data.listing import some
from autocompress.errors import DataError

__all__ = ["PICTURES", "Folder", "scan"]

# fmt: off
_IMAGES = {
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg",
    ".jpg", ".jpx", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
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


@dataclass
class Folder:
    """A folder's content, without hidden files and those of the operating system.

    Args:
        path: Path of the folder.
        images: Images directly in it, by name.
        others: Other files directly in it.
        folders: Folders directly in it, by name.
    """

    path: Path
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    folders: dict[str, Folder] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the folder's own name."""
        return self.path.name

    @property
    def count(self) -> int:
        """Return the number of images in it and below."""
        return len(self.images) + sum(inner.count for inner in self.folders.values())

    def all_images(self) -> Iterator[Path]:
        """Yield the images in it and below, sorted by name."""
        yield from self.images
        for inner in self.folders.values():
            yield from inner.all_images()

    def all_others(self) -> Iterator[Path]:
        """Yield the files in it and below that are not images."""
        yield from self.others
        for inner in self.folders.values():
            yield from inner.all_others()


def scan(root: Path) -> Folder:
    """Return everything below a folder, following links.

    Raises:
        DataError: A folder cannot be listed, a link leads nowhere or to a folder around it, an
            entry is neither file nor folder, or there are images of an unsupported format.
    """
    foreign: list[Path] = []
    found = _scanned(root, (), foreign)
    if foreign:
        names = some([str(path.relative_to(root)) for path in foreign])
        kinds = "picture of a kind that is" if len(foreign) == 1 else "pictures of kinds that are"
        raise DataError(
            f"{root} holds {len(foreign)} {kinds} not supported: {names}. "
            "Convert them to .png or .jpg, or take them out"
        )
    return found


def _scanned(path: Path, around: tuple[Path, ...], foreign: list[Path]) -> Folder:
    folder, real = Folder(path), path.resolve()
    if real in around:
        raise DataError(f"{path} is a link back to a folder that holds it; remove the link")
    if len(around) >= _DEEPEST:
        raise DataError(f"{path} lies more than {_DEEPEST} folders deep; move the images up")
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise DataError(f"the folder {path} cannot be read: {error.strerror}") from None
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in _JUNK:
            continue
        if entry.is_dir():
            folder.folders[entry.name] = _scanned(entry, (*around, real), foreign)
        elif entry.is_file():
            suffix = entry.suffix.lower()
            if suffix in _FOREIGN:
                foreign.append(entry)
            else:
                image = suffix in _IMAGES or is_picture(entry)
                (folder.images if image else folder.others).append(entry)
        else:
            what = "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"
            raise DataError(f"{entry} is {what}; remove it")
    return folder
