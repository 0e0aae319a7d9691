"""Run-length and polygon masks against pycocotools, the reference."""

from __future__ import annotations

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as reference

from robustbench_cv.data import polygons, rle

MASKS = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda size: arrays(numpy.uint8, size, elements=st.integers(0, 1)))
# pycocotools predates numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

COORDINATES = st.one_of(st.integers(-8, 40).map(float), st.integers(-80, 400).map(lambda v: v / 10), st.floats(-10, 45, width=32))


@settings(deadline=None)
@given(MASKS)
def test_compressed_masks_are_read_as_the_reference_wrote_them(mask):
    text = reference.encode(numpy.asfortranarray(mask))["counts"].decode()
    decoded = rle.decode(rle.runs_of_text(text), *mask.shape)
    assert decoded.dtype == torch.bool
    assert (decoded.numpy() == mask.astype(bool)).all()


def test_large_runs_and_negative_differences_are_read():
    mask = numpy.zeros((700, 900), dtype=numpy.uint8)
    mask[10:650, 3:800] = 1
    mask[100:103, 200:500] = 0
    text = reference.encode(numpy.asfortranarray(mask))["counts"].decode()
    assert (rle.decode(rle.runs_of_text(text), 700, 900).numpy() == mask).all()


@settings(deadline=None)
@given(MASKS)
def test_uncompressed_runs_agree_with_the_reference(mask):
    flat = mask.T.ravel()
    edges = numpy.flatnonzero(numpy.diff(numpy.concatenate([[0], flat]))).tolist()
    runs = numpy.diff([0, *edges, flat.size]).tolist()
    theirs = reference.decode(reference.frPyObjects({"size": list(mask.shape), "counts": runs}, *mask.shape))
    assert (rle.decode(runs, *mask.shape).numpy() == theirs).all()
    assert (theirs == mask).all()


@pytest.mark.parametrize("runs", [[3], [5], [2, -1, 3], []], ids=str)
def test_runs_that_do_not_fill_the_mask_are_refused(runs):
    with pytest.raises(ValueError, match="fill the image's 4 pixels"):
        rle.decode(runs, 2, 2)


def test_long_texts_are_read_in_linear_time():
    wide = numpy.asfortranarray(numpy.tile(numpy.array([[0, 1]], dtype=numpy.uint8), (1000, 400)))
    wide[::2] ^= 1
    text = reference.encode(wide)["counts"].decode()
    assert len(text) > 500_000
    assert (rle.decode(rle.runs_of_text(text), *wide.shape).numpy() == wide).all()
    with pytest.raises(ValueError, match="longer than any image"):
        rle.runs_of_text("o" * 800_000)  # one number, never ended


@pytest.mark.parametrize("text", ["5 2", "5\x7f", "5é", "P"], ids=repr)
def test_texts_that_are_no_masks_are_refused(text):
    with pytest.raises(ValueError, match="compressed mask"):
        rle.runs_of_text(text)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9), st.integers(1, 36), st.integers(1, 36))
def test_polygons_equal_the_reference_pixel_for_pixel(corners, height, width):
    ours = polygons.rasterize([numpy.array(corners)], height, width)
    theirs = reference.decode(reference.frPyObjects([[v for corner in corners for v in corner]], height, width))[..., 0]
    assert (ours.numpy() == theirs.astype(bool)).all()


def test_the_polygons_of_an_object_are_united():
    square = numpy.array([[1.0, 1], [5, 1], [5, 5], [1, 5]])
    both = polygons.rasterize([square, square + 3], 10, 10)
    assert both.sum() == 16 + 16 - 1
    assert torch.equal(both, polygons.rasterize([square], 10, 10) | polygons.rasterize([square + 3], 10, 10))
