"""Reading image and mask files, good and bad."""

from __future__ import annotations

import io
import warnings

import numpy
import pytest
import torch
from PIL import Image

from robustbench_cv.data.images import may_be_image, read_image, read_mask, read_picture
from robustbench_cv.errors import BadSample


@pytest.fixture
def pixels():
    return numpy.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=numpy.uint8)


def encoded(pixels, kind="PNG", **more):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **more)
    return buffer.getvalue()


def test_pixels_are_rgb_floats_in_0_1(tmp_path, pixels):
    (tmp_path / "a.png").write_bytes(encoded(pixels))
    image = read_image(tmp_path / "a.png")
    assert image.dtype == torch.float32
    assert image.is_contiguous()
    torch.testing.assert_close(image, torch.from_numpy(pixels).permute(2, 0, 1) / 255, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("L", "BMP"), ("P", "GIF")]
)
def test_other_colour_modes_become_rgb(tmp_path, pixels, mode, kind):
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a", kind)
    image = read_image(tmp_path / "a")
    assert image.shape == (3, 6, 9)
    assert image.max() > 0.5 > image.min()


def test_transparent_palettes_give_no_warning(tmp_path, pixels):
    Image.fromarray(pixels).quantize(8).save(tmp_path / "a.png", transparency=bytes(range(8)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "a.png").shape == (3, 6, 9)


def test_pixels_stay_as_stored_unless_asked_upright(tmp_path, pixels):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.png").write_bytes(encoded(pixels, exif=exif))
    stored, upright = read_image(tmp_path / "a.png"), read_image(tmp_path / "a.png", upright=True)
    assert stored.shape == (3, 6, 9)
    torch.testing.assert_close(upright, torch.rot90(stored, -1, (1, 2)), rtol=0, atol=0)


def test_sixteen_bit_images_are_refused(tmp_path):
    Image.fromarray(numpy.full((4, 4), 40000, dtype=numpy.uint16)).save(tmp_path / "a.png")
    with pytest.raises(BadSample, match=r"a\.png \(image 7\).*8 bits"):
        read_image(tmp_path / "a.png", "image 7")


def test_faults_name_file_and_entry(tmp_path, pixels):
    good = encoded(numpy.tile(pixels, (9, 9, 1)))
    (tmp_path / "cut.png").write_bytes(good[: len(good) // 2])
    (tmp_path / "cut.jpg").write_bytes(encoded(numpy.tile(pixels, (9, 9, 1)), "JPEG")[:-900])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    (tmp_path / "page.png").write_text("\n<!DOCTYPE html><html><body>404</body></html>")
    (tmp_path / "phone.png").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    for name, why in [
        ("cut.png", "cannot be decoded"),
        ("cut.jpg", "truncated"),
        ("empty.png", "empty"),
        ("text.png", "no image of a known format"),
        ("folder.png", "is a folder"),
        ("none.png", "does not exist"),
        ("lfs.png", "is a Git LFS pointer"),
        ("page.png", "is a web page"),
        ("phone.png", "is a HEIC image"),
    ]:
        with pytest.raises(BadSample, match=rf"{name} \(entry 3\).*{why}"):
            read_image(tmp_path / name, "entry 3")


def test_formats_that_run_other_programs_are_not_opened(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    with pytest.raises(BadSample, match="no image of a known format"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("limit", [100, 40], ids=["warned", "refused"])
def test_decompression_bombs_are_errors(tmp_path, monkeypatch, limit):
    Image.new("L", (12, 12)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow only warns up to twice the limit; ours is an error all the same
        for read in (read_image, read_mask):
            with pytest.raises(BadSample, match="implausibly large"):
                read(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000"])
def test_damage_anywhere_is_a_bad_sample_or_an_image(tmp_path, pixels, kind):
    good, rng, path, refused = encoded(pixels, kind), numpy.random.default_rng(1), tmp_path / "a", []
    for _ in range(80):
        data = bytearray(good)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.5 else data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert read_image(path, upright=True).shape[0] == 3
        except BadSample as error:
            refused.append(str(error))
    assert len(refused) > 15
    assert all(str(path) in message for message in refused)


@pytest.mark.parametrize("kind", ["grey", "palette", "16 bit"])
def test_masks_keep_their_indices(tmp_path, kind):
    labels = numpy.array([[0, 1, 2], [11, 254, 255]], dtype=numpy.uint8)
    mask = Image.fromarray(labels.astype(numpy.uint16) if kind == "16 bit" else labels)
    if kind == "palette":
        mask = mask.convert("P")
        mask.putpalette(numpy.random.default_rng(0).integers(0, 256, 768, dtype=numpy.uint8).tobytes())
    mask.save(tmp_path / "m.png")
    read = read_mask(tmp_path / "m.png")
    assert read.dtype == torch.int64
    assert read.tolist() == labels.tolist()


def test_colour_masks_lossy_masks_and_rescaled_masks_are_refused(tmp_path, pixels):
    (tmp_path / "colour.png").write_bytes(encoded(pixels))
    (tmp_path / "lossy.png").write_bytes(encoded(pixels[..., 0], "JPEG"))
    (tmp_path / "bits.png").write_bytes(four_bit_png())
    for name, why in [("colour.png", "RGB pixels"), ("lossy.png", "is a JPEG, which does not keep class indices"), ("bits.png", "4 bits")]:
        with pytest.raises(BadSample, match=why):
            read_mask(tmp_path / name)


def test_tiff_masks_keep_their_indices_or_are_refused(tmp_path):
    labels = numpy.array([[0, 1, 2], [11, 254, 255]], dtype=numpy.uint8)
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        Image.fromarray(labels).save(tmp_path / "m.tif", compression=compression)
        assert read_mask(tmp_path / "m.tif").tolist() == labels.tolist()
    Image.fromarray(labels.astype(numpy.uint16)).save(tmp_path / "m.tif")
    assert read_mask(tmp_path / "m.tif").tolist() == labels.tolist()
    Image.fromarray(numpy.tile(labels, (8, 8))).save(tmp_path / "m.tif", compression="jpeg")
    with pytest.raises(BadSample, match="a TIFF with JPEG inside"):
        read_mask(tmp_path / "m.tif")
    Image.fromarray(labels).save(tmp_path / "m.tif", tiffinfo={262: 0})  # counts from white
    with pytest.raises(BadSample, match="grey that decoders turn round"):
        read_mask(tmp_path / "m.tif")


def test_a_mask_is_turned_only_by_an_orientation_of_its_own(tmp_path):
    labels = numpy.array([[0, 1, 2], [3, 4, 5]], dtype=numpy.uint8)
    Image.fromarray(labels).save(tmp_path / "plain.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(labels).save(tmp_path / "turned.png", exif=exif)
    assert read_mask(tmp_path / "plain.png", upright=True).tolist() == labels.tolist()
    assert read_mask(tmp_path / "turned.png").tolist() == labels.tolist()
    assert read_mask(tmp_path / "turned.png", upright=True).tolist() == numpy.rot90(labels, -1).tolist()


@pytest.mark.parametrize("value", [0, 9, 6000])
def test_an_orientation_that_is_none_is_upright(tmp_path, pixels, value):
    exif = Image.Exif()
    exif[0x0112] = value
    (tmp_path / "a.jpg").write_bytes(encoded(pixels, "JPEG", exif=exif))
    assert read_picture(tmp_path / "a.jpg").orientation == 1
    assert read_picture(tmp_path / "a.jpg", upright=True).pixels.shape == (3, 6, 9)


def test_what_looks_like_an_image_is_told_from_what_does_not(tmp_path, pixels):
    (tmp_path / "a").write_bytes(encoded(pixels))
    (tmp_path / "a.heic").write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "folder").mkdir()
    assert [p.name for p in sorted(tmp_path.iterdir()) if may_be_image(p)] == ["a", "a.heic"]


def four_bit_png():
    """A grey PNG of 4 bits a pixel, 2 x 1, which Pillow cannot write."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0\x1f")) + chunk(b"IEND", b"")
