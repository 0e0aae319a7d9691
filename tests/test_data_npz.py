"""Arrays in an .npz."""

from __future__ import annotations

import io
import os
import zipfile

import numpy
import pytest
import torch

from robustbench_cv.catalogue import DATASETS
from robustbench_cv.errors import BadSample, UserError
from robustbench_cv.types import ClassTarget, Labels

BYTES = numpy.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=numpy.uint8)
LABELS = numpy.array([1, 0, 2, 1])
CLASSES = numpy.array(["cat", "dog", "bird"])


@pytest.fixture
def build(tmp_path):
    def save(**arrays):
        numpy.savez(tmp_path / "test_4.npz", **arrays)
        return DATASETS.build(f"npz:{tmp_path / 'test_4.npz'}(name='small')")

    return save


def test_bytes_become_samples(build):
    data = build(images=BYTES, labels=LABELS, classes=CLASSES)
    assert (data.task, data.labels, len(data)) == ("classification", Labels(("cat", "dog", "bird")), 4)
    assert list(data.ids) == ["small/000000", "small/000001", "small/000002", "small/000003"]
    for i in range(4):
        sample = data[i]
        torch.testing.assert_close(sample.image, torch.from_numpy(BYTES[i]).permute(2, 0, 1) / 255, rtol=0, atol=0)
        assert isinstance(sample.target, ClassTarget)
        assert sample.target.label == LABELS[i]


def test_the_name_comes_from_folder_and_file(tmp_path):
    numpy.savez(tmp_path / "test_4.npz", images=BYTES, labels=LABELS)
    assert DATASETS.build(f"npz:{tmp_path / 'test_4.npz'}").name == f"{tmp_path.name}-test_4"


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
def test_floats_are_channels_first(build, kind):
    images = (BYTES.transpose(0, 3, 1, 2) / 255).astype(kind)
    data = build(images=images, labels=LABELS)
    assert data.labels == Labels.numbered(3)
    torch.testing.assert_close(data[2].image, torch.from_numpy(images[2].astype("f4")), rtol=0, atol=0)


def test_reading_does_not_share_memory(build):
    data = build(images=(BYTES.transpose(0, 3, 1, 2) / 255).astype("f4"), labels=LABELS)
    data[0].image.zero_()
    assert data[0].image.max() > 0


def test_fingerprints_follow_pixels_label_and_names(build):
    before = [build(images=BYTES, labels=LABELS, classes=CLASSES).fingerprint(i) for i in range(4)]
    changed = BYTES.copy()
    changed[1, 0, 0, 0] ^= 1
    after = build(images=changed, labels=numpy.array([1, 0, 2, 0]), classes=CLASSES)
    assert [after.fingerprint(i) == before[i] for i in range(4)] == [True, False, True, False]
    assert build(images=BYTES, labels=LABELS, classes=CLASSES[::-1]).fingerprint(0) != before[0]


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"images": BYTES}, "no array labels"),
        ({"x": BYTES, "y": LABELS}, r"no array images and no array labels, only \['x', 'y'\]"),
        ({"images": BYTES.transpose(0, 3, 1, 2), "labels": LABELS}, r"images is uint8 \(4, 3, 5, 6\)"),
        ({"images": BYTES / 255, "labels": LABELS}, r"images is float64 \(4, 5, 6, 3\)"),
        ({"images": BYTES.transpose(0, 3, 1, 2) * 1.0, "labels": LABELS}, "runs from 0 to 255"),
        ({"images": BYTES.transpose(0, 3, 1, 2) / 255 - 0.5, "labels": LABELS}, "runs from -0.5"),
        ({"images": BYTES.astype("i4"), "labels": LABELS}, "images is int32"),
        ({"images": BYTES, "labels": LABELS * 1.0}, r"labels is float64 \(4,\)"),
        ({"images": BYTES, "labels": LABELS[:, None]}, r"labels is int64 \(4, 1\)"),
        ({"images": BYTES, "labels": LABELS[:3]}, "4 images and 3 labels"),
        ({"images": BYTES[:0], "labels": LABELS[:0]}, "0 images"),
        ({"images": BYTES, "labels": LABELS, "classes": CLASSES[:2]}, r"labels\[2\] is 2, but labels run from 0 to 1"),
        ({"images": BYTES, "labels": LABELS - 1}, r"labels\[1\] is -1"),
        ({"images": BYTES, "labels": LABELS, "classes": numpy.array([1, 2, 3])}, "classes is int64"),
        ({"images": BYTES, "labels": LABELS, "classes": numpy.array(["a", "b", "a"])}, "names 'a' more than once"),
        ({"images": BYTES, "labels": LABELS, "classes": numpy.array(["a", "", "c"])}, "class 1 has an empty name"),
        (
            {"images": BYTES, "labels": LABELS, "classes": numpy.array([b"a", b"h\xf6", b"c"])},
            r"classes\[1\] is b'h\\xf6', which is not UTF-8",
        ),
        ({"images": BYTES, "labels": numpy.array([1, 0, 10**9, 1])}, r"labels\[2\] is 1000000000; without an array classes"),
        ({"images": BYTES, "labels": numpy.array([1, 0, 2**64 - 1, 1], "u8")}, r"labels\[2\] is 18446744073709551615; without"),
        (
            {"images": BYTES, "labels": numpy.array([1, 0, 2**64 - 1, 1], "u8"), "classes": CLASSES},
            r"labels\[2\] is 18446744073709551615, but",
        ),
        ({"images": BYTES, "labels": numpy.array([-1, -1, -3, -1])}, r"labels\[0\] is -1"),
        ({"images": BYTES, "labels": LABELS, "classes": numpy.array(["a", "b", None], dtype=object)}, "allow_pickle"),
    ],
)
def test_arrays_of_another_layout_are_refused(build, arrays, why):
    with pytest.raises(UserError, match=why):
        build(**arrays)


def _entry(shape, body, kind="|u1"):
    stream = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(stream, {"descr": kind, "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


def _array_entry(array):
    stream = io.BytesIO()
    numpy.save(stream, array)
    return stream.getvalue()


HOSTILE = {
    "10**12 images": ({"images.npy": _entry((10**12, 5, 6, 3), b"0" * 90)}, "images claims 90000000000000 bytes and holds 90;"),
    "10**30 images": ({"images.npy": _entry((10**30, 5, 6, 3), b"0" * 90)}, "images claims 90000+ bytes and holds 90;"),
    "fewer than it holds": ({"images.npy": _entry((1, 5, 6, 3), b"0" * 180)}, "images claims 90 bytes and holds 180;"),
    "negative": ({"images.npy": _entry((-4, 5, 6, 3), b"0" * 90)}, "images claims -360 bytes"),
    "no array": ({"images.npy": b"hello"}, "images is no array of numpy's"),
    "no array, no suffix": ({"images": b"hello"}, "images is no array of numpy's"),
    "empty": ({"images.npy": b""}, "images is no array of numpy's"),
    "long header": ({"images.npy": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b" " * 99}, "cannot be read as .npz"),
    "unknown version": ({"images.npy": b"\x93NUMPY\x07\x00" + b" " * 99}, r"version \(7, 0\)"),
    "objects": ({"images.npy": _entry((4,), b"0" * 32, "|O")}, "allow_pickle"),
    "twice": ({"images.npy": _array_entry(BYTES), "images": _array_entry(BYTES)}, "holds images twice"),
}


def _zipped(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return f"npz:{path}"


@pytest.mark.parametrize("fault", HOSTILE)
def test_headers_are_not_believed(tmp_path, fault):
    entries, why = HOSTILE[fault]
    spec = _zipped(tmp_path / "a.npz", {**entries, "labels.npy": _array_entry(LABELS)})
    with pytest.raises(UserError, match=why):
        DATASETS.build(spec)


def test_what_unpacks_into_far_more_than_images_do_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("robustbench_cv.data.npz._PACKED_BYTES", 100_000)
    black = numpy.zeros((200, 16, 16, 3), dtype=numpy.uint8)
    spec = _zipped(tmp_path / "a.npz", {"images.npy": _array_entry(black), "labels.npy": _array_entry(numpy.zeros(200, dtype=int))})
    with pytest.raises(UserError, match=r"images unpacks \d+ bytes into 153600; .* \(a zip bomb\?\)"):
        DATASETS.build(spec)
    numpy.savez(tmp_path / "b.npz", images=black, labels=numpy.zeros(200, dtype=int))
    assert len(DATASETS.build(f"npz:{tmp_path / 'b.npz'}")) == 200


def test_packed_arrays_in_any_order_are_read(tmp_path):
    numpy.savez_compressed(tmp_path / "a.npz", images=numpy.asfortranarray(BYTES), labels=LABELS.astype(">i2"), classes=CLASSES, extra=[1])
    data = DATASETS.build(f"npz:{tmp_path / 'a.npz'}")
    torch.testing.assert_close(data[1].image, torch.from_numpy(BYTES[1]).permute(2, 0, 1) / 255, rtol=0, atol=0)
    assert [data[i].target.label for i in range(4)] == LABELS.tolist()


def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    with pytest.raises(UserError, match="it is a pipe"):
        DATASETS.build(f"npz:{tmp_path / 'a.npz'}")


def test_values_that_are_not_finite_cost_one_sample(build):
    images = (BYTES.transpose(0, 3, 1, 2) / 255).astype("f4")
    images[1, 0, 0, 0] = numpy.nan
    data = build(images=images, labels=LABELS)
    with pytest.raises(BadSample, match=r"images\[1\] has values that are not finite"):
        data[1]
    assert data[0].image.isfinite().all()


def test_files_that_are_no_npz_are_refused(tmp_path):
    numpy.save(tmp_path / "one.npy", BYTES)
    numpy.savez(tmp_path / "good.npz", images=BYTES, labels=LABELS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name, why in [
        ("one.npy", "one array"),
        ("cut.npz", "cannot be read"),
        ("text.npz", "cannot be read"),
        ("empty.npz", "cannot be read"),
    ]:
        with pytest.raises(UserError, match=f"{name}.*{why}"):
            DATASETS.build(f"npz:{tmp_path / name}")
    with pytest.raises(UserError, match="does not exist"):
        DATASETS.build(f"npz:{tmp_path / 'none.npz'}")
