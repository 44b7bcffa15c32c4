"""Pictures as people have them: what they become, and which are refused by name."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autocompress.data import Splits, StreamSource, TensorSource
from autocompress.data.decode import ImageDecoder
from autocompress.data.sources import affordable
from autocompress.errors import DataError


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> dict[str, Any]:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return {"bytes": file.getvalue(), "path": f"a/odd.{kind.lower()}"}


def decoded(item: dict[str, Any], channels: int | None = None, size: int | None = None) -> Any:
    decoder = ImageDecoder.like(item, channels, size)
    return decoder.batch([item], [0], "train")[0]


def header(
    width: int, height: int, kind: int = 2, bits: int = 8, rows: bytes = b"\0" * 9
) -> dict[str, Any]:
    """A PNG that says how large it is and has, by default, next to no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        whole = name + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    sizes = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    body = chunk(b"IHDR", sizes) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return {"bytes": b"\x89PNG\r\n\x1a\n" + body, "path": "b/huge.png"}


def test_16_bits_of_a_colour_lose_the_lower_8_and_16_bit_grey_is_refused() -> None:
    row = b"\0" + struct.pack(">6H", 0x0102, 0x80FF, 0xFFFF, 0x00FF, 0x0100, 0x7F00)
    found = decoded(header(2, 1, bits=16, rows=row))
    assert found.permute(1, 2, 0).tolist() == [[[1, 128, 255], [0, 1, 127]]]
    with pytest.raises(DataError, match="pixels of mode 'I;16'"):
        decoded(header(2, 1, kind=0, bits=16, rows=row[:5]))


# -- transparency ----------------------------------------------------------------------------------


def half(mode: str, colour: tuple[int, ...], clear: tuple[int, ...]) -> Image.Image:
    """The left half opaque, the right half transparent with a colour hidden under it."""
    picture = Image.new(mode, (4, 4), colour)
    picture.paste(clear, (2, 0, 4, 4))
    return picture


def palette() -> dict[str, Any]:
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([9, 90, 200, 40, 80, 120] + [0] * 750)
    picture.paste(0, (2, 0, 4, 4))
    return encoded(picture, transparency=0)


@pytest.mark.parametrize(
    ("item", "left"),
    [
        (encoded(half("RGBA", (40, 80, 120, 255), (9, 90, 200, 0))), (40, 80, 120)),
        (encoded(half("RGBA", (40, 80, 120, 255), (9, 90, 200, 0)), "WEBP", lossless=True), None),
        (encoded(half("LA", (70, 255), (3, 0))), (70,)),
        (palette(), (40, 80, 120)),
        (
            encoded(half("RGB", (40, 80, 120), (9, 90, 200)), transparency=(9, 90, 200)),
            (40, 80, 120),
        ),
        (encoded(half("L", (70,), (3,)), transparency=3), (70,)),
    ],
    ids=["RGBA", "WEBP", "LA", "palette", "a colour that is clear", "a grey that is clear"],
)
def test_what_is_transparent_shows_white(
    item: dict[str, Any], left: tuple[int, ...] | None
) -> None:
    pixels = decoded(item)
    expected = torch.tensor(left or (40, 80, 120), dtype=torch.uint8).view(-1, 1, 1)
    assert torch.equal(pixels[:, :, :2], expected.expand(-1, 4, 2))
    assert (pixels[:, :, 2:] == 255).all()
    assert (decoded(item, channels=1)[:, :, 2:] == 255).all()


def test_half_transparent_is_mixed_and_opaque_is_as_it_was() -> None:
    assert decoded(encoded(Image.new("RGBA", (2, 2), (0, 0, 0, 128)))).unique().tolist() == [127]
    pixels = np.random.RandomState(0).randint(0, 256, (5, 5, 4)).astype(np.uint8)
    pixels[..., 3] = 255
    found = decoded(encoded(Image.fromarray(pixels)))
    assert torch.equal(found, torch.from_numpy(pixels[..., :3]).permute(2, 0, 1))


def test_strips_make_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.RandomState(1).randint(0, 256, (37, 5, 4)).astype(np.uint8)
    item = encoded(Image.fromarray(pixels))
    whole = decoded(item)
    monkeypatch.setattr("autocompress.data.decode.STRIP", 20)
    assert torch.equal(decoded(item), whole)
    alpha = pixels[..., 3:] / 255
    expected = torch.from_numpy(pixels[..., :3] * alpha + 255 * (1 - alpha)).permute(2, 0, 1)
    assert (whole - expected).abs().max() <= 1


# -- kinds of files --------------------------------------------------------------------------------


def test_a_cmyk_jpeg_has_its_colours() -> None:
    cmyk = Image.new("RGB", (8, 8), (10, 180, 60)).convert("CMYK")
    found = decoded(encoded(cmyk, "JPEG", quality=95)).float().mean((1, 2))
    assert found.tolist() == pytest.approx([10, 180, 60], abs=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_turned_by_exif(kind: str) -> None:
    picture = Image.new("RGB", (6, 4), (200, 200, 200))
    picture.paste((0, 0, 0), (0, 0, 3, 4))
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees against the clock
    found = decoded(encoded(picture, kind, exif=exif))
    assert found.shape == (3, 6, 4)
    assert float(found[:, :3].float().mean()) > 180 > 20 > float(found[:, 3:].float().mean())


def frames(kind: str) -> dict[str, Any]:
    some = [Image.new("RGB", (4, 4), (80 * i, 0, 0)) for i in range(3)]
    return encoded(some[0], kind, save_all=True, append_images=some[1:])


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_several_frames_are_refused(kind: str) -> None:
    with pytest.raises(
        DataError, match=rf"^image 0 .*odd.{kind.lower()}\) has several frames or pages"
    ):
        decoded(frames(kind))


def deep(kind: type, factor: float) -> Image.Image:
    return Image.fromarray((np.arange(16).reshape(4, 4) * factor).astype(kind))


@pytest.mark.parametrize(
    ("item", "mode"),
    [
        (encoded(deep(np.uint16, 4000)), "I;16"),
        (encoded(deep(np.int32, 10**6), "TIFF"), "I"),
        (encoded(deep(np.float32, 0.05), "TIFF"), "F"),
        (encoded(Image.new("LAB", (4, 4)), "TIFF"), "LAB"),
    ],
    ids=["16 bits", "32 bits", "floats", "Lab"],
)
def test_more_than_eight_bits_is_refused_by_name(item: dict[str, Any], mode: str) -> None:
    with pytest.raises(DataError, match=rf"image 0 \(a/odd.*\) has pixels of mode '{mode}'"):
        decoded(item)


def test_what_is_no_picture_or_runs_a_program_is_refused() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n"
    for content in (eps, b"", b"\x89PNG\r\n\x1a\n", b"hello"):
        with pytest.raises(DataError, match=r"\(c/no.png\) cannot be decoded"):
            decoded({"bytes": content, "path": "c/no.png"})


# -- sizes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 32])
@pytest.mark.parametrize("sides", [(13_000, 13_000), (100_000, 900), (2**31 - 1, 2**31 - 1)])
def test_a_picture_above_pillows_limit_is_never_decoded(
    sides: tuple[int, int], size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(DataError, match=r"b/huge.png\) has .*pixels.*89,478,485") as caught:
        decoded(header(*sides), size=size)
    assert "make the file smaller" in str(caught.value)
    assert "decoded: image" not in str(caught.value)


@pytest.mark.parametrize("kind", ["WEBP", "JPEG2000", "AVIF"])
def test_a_picture_whose_decoder_takes_much_is_bounded_earlier(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30)).save(buffer, kind)
    item = {"bytes": buffer.getvalue(), "path": "a/one"}
    monkeypatch.setattr("autocompress.data.decode.MOST_COSTLY", 40 * 30)
    assert ImageDecoder.like(item, 3, 8).batch([item], [0], "train").shape == (1, 3, 8, 8)
    monkeypatch.setattr("autocompress.data.decode.MOST_COSTLY", 40 * 30 - 1)
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(DataError, match=rf"a/one\).*30 x 40 pixels.*{kind} may have 1,199"):
        ImageDecoder.like(item, 3, 8)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_threads_decode_one_large_picture_at_a_time(tmp_path: Path) -> None:
    """Transparent and turned: just below Pillow's limit, 11 bytes a pixel are less than 1 GiB."""
    path, exif = tmp_path / "large.png", Image.Exif()
    exif[0x0112] = 6
    Image.new("LA", (5000, 5000)).save(path, exif=exif, compress_level=1)
    script = """if True:
        import re, sys, torch
        from pathlib import Path
        from autocompress.data.decode import ImageDecoder
        from autocompress.data.sources import StreamSource

        def most():
            return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

        class Items(list):
            def __getitem__(self, rows):
                return [{"bytes": None, "path": sys.argv[1]} for _ in rows]

        decoder, before = ImageDecoder(3, 8, 8, resize=True), most()
        source = StreamSource(Items(), torch.zeros(3, dtype=torch.long), decoder)
        assert len(list(source.batches(1))) == 3
        print(1024 * (most() - before) / 5000**2)
    """
    words = [sys.executable, "-c", script, str(path)]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert 7 < float(out) < 11  # bytes a pixel


def test_pictures_that_no_network_takes_name_the_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", None)
    with pytest.raises(DataError, match=r"6000 x 9000 pixels.*162,000,000.*data.image_size, e.g."):
        decoded(header(9000, 6000))
    decoder = ImageDecoder(3, 8, 8)
    with pytest.raises(DataError, match=r"image 7 of test \(b/huge.png\).*data.image_size"):
        decoder.batch([header(9000, 6000)], [7], "test")


def test_a_batch_of_large_images_is_small() -> None:
    """What the library reads by itself (statistics, a set into memory) is counted in bytes."""
    large = ImageDecoder(3, 2000, 2000, resize=True)
    source = StreamSource([], torch.zeros(900, dtype=torch.long), large)
    assert affordable(source, 1024) * 3 * 2000 * 2000 <= 2**25
    tiny = TensorSource(torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4).long())
    assert affordable(tiny, 1024) == 1024


def test_images_that_are_not_square_name_the_option(tmp_path: Path) -> None:
    source = TensorSource(torch.zeros(4, 1, 8, 12, dtype=torch.uint8), torch.arange(4) % 2)
    data = Splits(source, source, source, ["a", "b"], (0.0,), (1.0,), "wide")
    with pytest.raises(DataError, match=r"8 x 12 pixels.*data.image_size, e.g. 8"):
        _ = data.arguments
