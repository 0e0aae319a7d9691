"""CIFAR, ImageNet and Cityscapes as published, and -C data read as conditions, each beside another reader or by hand."""

import os
import pickle
import warnings
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torchvision.datasets import Cityscapes, ImageFolder

from robustbench_cv.catalogue import DATASETS, INTERVENTIONS
from robustbench_cv.data.cityscapes import TRAIN_IDS
from robustbench_cv.data.plain_pickle import read_pickle
from robustbench_cv.errors import BadSample, NotApplicable, UserError
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.types import Dataset

synthetic = load_file(Path(__file__).parent / "synthetic_samples.py")
RNG = numpy.random.default_rng(0)


def read(spec: str, **more: object) -> Dataset:
    extra = ", ".join(f"{k}={v!r}" for k, v in more.items())
    return DATASETS.build(f"{spec}({extra})" if extra else spec)


def cifar10(root: Path, count: int = 4, *, binary: bool = False) -> numpy.ndarray:
    """A folder of batches; the images (6 count, 32, 32, 3) in the order train, test."""
    root.mkdir(exist_ok=True)
    pixels = RNG.integers(0, 256, (6, count, 3, 32, 32), dtype=numpy.uint8)
    labels = RNG.integers(0, 10, (6, count))
    names = [f"class{k}" for k in range(10)]
    for k, stem in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        flat = pixels[k].reshape(count, -1)
        if binary:
            (root / f"{stem}.bin").write_bytes(numpy.concatenate([labels[k][:, None].astype(numpy.uint8), flat], axis=1).tobytes())
        else:
            batch = {b"data": flat, b"labels": labels[k].tolist(), b"batch_label": b"x", b"filenames": [b"a"] * count}
            (root / stem).write_bytes(pickle.dumps(batch, protocol=2))
    if binary:
        (root / "batches.meta.txt").write_text("\n".join(names) + "\n\n")
    else:
        (root / "batches.meta").write_bytes(pickle.dumps({b"label_names": [n.encode() for n in names], b"num_vis": 3072}, protocol=2))
    numpy.save(root / "labels-for-the-test.npy", labels)
    return pixels.transpose(0, 1, 3, 4, 2).reshape(-1, 32, 32, 3)


@pytest.mark.parametrize("binary", [False, True])
def test_cifar_10(binary: bool, tmp_path: Path) -> None:
    images = cifar10(tmp_path / "c", binary=binary)
    labels = numpy.load(tmp_path / "c" / "labels-for-the-test.npy").ravel()
    train, test = read(f"cifar:{tmp_path / 'c'}", split="train"), read(f"cifar:{tmp_path / 'c'}")
    assert (len(train), len(test), test.labels.names[3]) == (20, 4, "class3")
    assert test.ids[2] == "cifar-10-test/000002"
    for k, sample in [*((i, train[i]) for i in range(20)), *((20 + i, test[i]) for i in range(4))]:
        assert numpy.array_equal((sample.image * 255).round().byte().permute(1, 2, 0).numpy(), images[k])
        assert sample.target.label == labels[k]


def test_cifar_100_has_classes_and_superclasses(tmp_path: Path) -> None:
    flat = RNG.integers(0, 256, (3, 3072), dtype=numpy.uint8)
    (tmp_path / "test").write_bytes(pickle.dumps({b"data": flat, b"fine_labels": [7, 99, 0], b"coarse_labels": [1, 19, 4]}))
    meta = {b"fine_label_names": [f"f{k}".encode() for k in range(100)], b"coarse_label_names": [f"c{k}".encode() for k in range(20)]}
    (tmp_path / "meta").write_bytes(pickle.dumps(meta))
    fine, coarse = read(f"cifar:{tmp_path}"), read(f"cifar:{tmp_path}", coarse=True)
    assert [fine.labels.names[fine[k].target.label] for k in range(3)] == ["f7", "f99", "f0"]
    assert [coarse.labels.names[coarse[k].target.label] for k in range(3)] == ["c1", "c19", "c4"]


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/never",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path) -> None:
    cifar10(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({b"data": Evil()}))
    with pytest.raises(UserError, match=r"asks for (posix|nt|os)\.system"):
        read(f"cifar:{tmp_path}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense", "cannot be read"),
        (pickle.dumps([1]), "holds a list"),
        (pickle.dumps({b"data": numpy.zeros((2, 5), numpy.uint8), b"labels": [0, 1]}), "is it a CIFAR batch"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": [11]}), "labels run from 11"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": [0.7]}), "no list 'labels' of whole numbers"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": ["a"]}), "no list 'labels' of whole numbers"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": [[0]]}), "no list 'labels' of whole numbers"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8), b"labels": [10**30]}), "no list 'labels' of whole numbers"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072), numpy.uint8)}), "no list 'labels' of whole numbers"),
        (pickle.dumps({b"data": numpy.zeros((0, 3072), numpy.uint8), b"labels": []}), "holds no image"),
        (pickle.dumps({b"data": numpy.zeros((1, 3072)), b"labels": [0]}), "an array of type 'f8'"),
        (pickle.dumps({b"data": numpy.array([None]), b"labels": [0]}), "an array of type 'O8'"),
        (b"\x80\x04\x95" + b"\xff" * 8, "cannot be read"),
        (b"\x80\x04)r\xff\xff\xff\x7f.", "holds a tuple"),
        (b"cnumpy\nndarray\n(I10000000000000\ntR.", "holds an array"),
    ],
)
def test_batches_that_are_none_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    cifar10(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read(f"cifar:{tmp_path}")


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_pickle_reads_them(protocol: int, order: str, tmp_path: Path) -> None:
    made = {
        "data": numpy.asarray(RNG.integers(0, 256, (3, 5), dtype=numpy.uint8), order=order),
        "labels": numpy.arange(-2, 3, dtype=">i4"),
        "none": numpy.zeros((0, 4), numpy.int64),
        "names": ["a", b"b", 3],
    }
    (tmp_path / "p").write_bytes(pickle.dumps(made, protocol=protocol))
    read_back = read_pickle(tmp_path / "p")
    assert list(read_back) == list(made)
    assert read_back["names"] == made["names"]
    for key in ("data", "labels", "none"):
        assert read_back[key].dtype == made[key].dtype
        assert numpy.array_equal(read_back[key], made[key])


def test_a_batch_of_python_2_is_read_as_pickle_reads_it(tmp_path: Path) -> None:
    """The published files' own opcodes: texts are bytes, and numpy's modules have the names of 2009."""
    pixels = RNG.integers(0, 256, (2, 3072), dtype=numpy.uint8)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"T\x00\x18\x00\x00" + pixels.tobytes() + b"tb"
    )
    cifar10(tmp_path)
    (tmp_path / "test_batch").write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x03K\x07eu.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy.core has moved
        theirs = pickle.loads((tmp_path / "test_batch").read_bytes(), encoding="bytes")
    assert numpy.array_equal(theirs[b"data"], pixels)
    ours = read_pickle(tmp_path / "test_batch")
    assert numpy.array_equal(ours["data"], theirs[b"data"])
    assert ours["labels"] == theirs[b"labels"] == [3, 7]
    assert read(f"cifar:{tmp_path}")[1].target.label == 7


def test_damaged_pickles_are_refused_or_read(tmp_path: Path) -> None:
    rng = numpy.random.default_rng(1)
    path = tmp_path / "p"
    refused = 0
    for k in range(600):
        data = bytearray(pickle.dumps({b"data": numpy.zeros((2, 30), numpy.uint8), b"labels": [0, 1]}, protocol=(2, 4, 5)[k % 3]))
        for place in rng.integers(0, len(data), 3):
            data[place] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            read_pickle(path)
        except UserError:
            refused += 1
    assert 100 < refused < 600


def test_cifar_10_c_arrays_are_conditions_of_the_same_images(tmp_path: Path) -> None:
    cifar10(tmp_path / "c", count=4)
    fog = RNG.integers(0, 256, (20, 32, 32, 3), dtype=numpy.uint8)
    (tmp_path / "C").mkdir()
    numpy.save(tmp_path / "C" / "fog.npy", fog)
    data = read(f"cifar:{tmp_path / 'c'}")
    made = INTERVENTIONS.build(f"published-corruption(folder={str(tmp_path / 'C')!r}, corruption='fog', severity=3)")
    for k in range(4):
        after = made(data[k], Noise(0, (data.ids[k],)))
        assert numpy.array_equal((after.image * 255).round().byte().permute(1, 2, 0).numpy(), fog[8 + k])
        assert after.target.label == data[k].target.label
    assert made.corruption_facts.severity == 3  # type: ignore[attr-defined]
    numpy.savez(tmp_path / "same.npz", images=data.images, labels=data.classes)
    other = read(f"npz:{tmp_path / 'same.npz'}")
    with pytest.raises(UserError, match="no place among the 4 images"):  # whose order nobody knows
        made(other[0], Noise(0, (other.ids[0],)))
    shifted = INTERVENTIONS.build("occlude()")(synthetic.sample("classification"), Noise(0, ("synthetic/0",)))
    with pytest.raises(UserError, match="the edit 'occlude' before it would be lost; put it first"):
        made(shifted, Noise(0, ("synthetic/0",)))
    with pytest.raises(UserError, match=r"has neither snow\.npy nor snow/3/"):
        INTERVENTIONS.build(f"published-corruption(folder={str(tmp_path / 'C')!r}, corruption='snow')")


def test_arrays_of_another_split_are_refused_by_their_labels(tmp_path: Path) -> None:
    cifar10(tmp_path / "c", count=4)
    test, train = read(f"cifar:{tmp_path / 'c'}"), read(f"cifar:{tmp_path / 'c'}", split="train")
    truths = [test[k].target.label for k in range(4)]
    (tmp_path / "C").mkdir()
    numpy.save(tmp_path / "C" / "fog.npy", numpy.zeros((20, 32, 32, 3), numpy.uint8))
    numpy.save(tmp_path / "C" / "labels.npy", numpy.tile(truths, 5))
    made = INTERVENTIONS.build(f"published-corruption(folder={str(tmp_path / 'C')!r}, corruption='fog', severity=5)")
    assert [made(test[k], Noise(0, (test.ids[k],))).target.label for k in range(4)] == truths
    other = next(k for k in range(4) if train[k].target.label != truths[k])
    with pytest.raises(UserError, match="another split or order"):
        made(train[other], Noise(0, (train.ids[other],)))
    numpy.save(tmp_path / "C" / "labels.npy", numpy.zeros(7))
    with pytest.raises(UserError, match="integers \\(20,\\)"):
        made(test[0], Noise(0, (test.ids[0],)))


def picture(path: Path, size: tuple[int, int] = (8, 6)) -> numpy.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_imagenet_classes_are_synsets_in_their_order_with_words(tmp_path: Path) -> None:
    for synset in ("n02012849", "n01440764", "n03126707"):
        picture(tmp_path / "val" / synset / f"{synset}_1.png")
    plain = read(f"imagenet:{tmp_path / 'val'}")
    theirs = ImageFolder(str(tmp_path / "val"))
    assert list(plain.labels.names) == theirs.classes
    assert [plain[k].target.label for k in range(3)] == theirs.targets
    (tmp_path / "words.txt").write_text("n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\nn09999999 other\n")
    assert read(f"imagenet:{tmp_path / 'val'}").labels.names == ("tench", "crane (n02012849)", "crane (n03126707)")
    (tmp_path / "words.txt").write_bytes(b"\xef\xbb\xbfn01440764\ttench\nn02012849 crane\nn03126707 lift\n")
    assert read(f"imagenet:{tmp_path / 'val'}").labels.names == ("tench", "crane", "lift")
    (tmp_path / "words.txt").write_text("tench\ncrane\nlift\n")
    with pytest.raises(UserError, match="names no class; it has a synset"):
        read(f"imagenet:{tmp_path / 'val'}", names=str(tmp_path / "words.txt"))
    assert read(f"imagenet:{tmp_path / 'val'}").labels == plain.labels
    (tmp_path / "words.txt").write_text("n01440764 tench\n")
    with pytest.raises(UserError, match="has none for n02012849"):
        read(f"imagenet:{tmp_path / 'val'}")
    picture(tmp_path / "val" / "dogs" / "a.png")
    with pytest.raises(UserError, match="no synsets: dogs"):
        read(f"imagenet:{tmp_path / 'val'}")


def test_a_folder_of_imagenet_c_is_named_with_its_corruption(tmp_path: Path) -> None:
    for corruption in ("fog", "snow"):
        picture(tmp_path / corruption / "3" / "n01440764" / "a.png")
    assert [read(f"imagenet:{tmp_path / c / '3'}").name for c in ("fog", "snow")] == ["fog-3", "snow-3"]


def test_a_flat_folder_needs_the_solution(tmp_path: Path) -> None:
    for k in (1, 2):
        picture(tmp_path / "val" / f"ILSVRC2012_val_0000000{k}.png")
    with pytest.raises(UserError, match=r"no LOC_val_solution\.csv"):
        read(f"imagenet:{tmp_path / 'val'}")
    rows = (
        "ImageId,PredictionString",
        "ILSVRC2012_val_00000001,n02012849 1 2 3 4",
        "ILSVRC2012_val_00000002,n01440764 1 2 3 4 n01440764 5 6 7",
    )
    (tmp_path / "LOC_val_solution.csv").write_text("\n".join(rows))
    data = read(f"imagenet:{tmp_path / 'val'}")
    assert [data.labels.names[data[k].target.label] for k in (0, 1)] == ["n02012849", "n01440764"]


def test_image_folders_of_corruptions_are_conditions(tmp_path: Path) -> None:
    picture(tmp_path / "val" / "n01440764" / "a.png")
    corrupted = picture(tmp_path / "C" / "fog" / "2" / "n01440764" / "a.png", (8, 6))
    data = read(f"imagenet:{tmp_path / 'val'}")
    made = INTERVENTIONS.build(f"published-corruption(folder={str(tmp_path / 'C')!r}, corruption='fog', severity=2)")
    after = made(data[0], Noise(0, (data.ids[0],)))
    assert numpy.array_equal((after.image * 255).round().byte().permute(1, 2, 0).numpy(), corrupted)
    (tmp_path / "C" / "fog" / "2" / "n01440764" / "a.png").unlink()
    with pytest.raises(NotApplicable, match="no picture of this sample"):
        made(data[0], Noise(0, (data.ids[0],)))


def city(tmp_path: Path) -> tuple[Path, numpy.ndarray]:
    """One picture; its instance ids (6, 8)."""
    picture(tmp_path / "leftImg8bit" / "val" / "bonn" / "bonn_000000_000019_leftImg8bit.png")
    ids = numpy.full((6, 8), 7)
    ids[0:2, 0:3], ids[0:2, 4:6], ids[3:5, 0:2], ids[5, :] = 26000, 26001, 24, 3
    folder = tmp_path / "gtFine" / "val" / "bonn"
    folder.mkdir(parents=True)
    Image.fromarray(ids.astype(numpy.int32)).convert("I;16").save(folder / "bonn_000000_000019_gtFine_instanceIds.png")
    labels = numpy.where(ids >= 1000, ids // 1000, ids).astype(numpy.uint8)
    Image.fromarray(labels).save(folder / "bonn_000000_000019_gtFine_labelIds.png")
    return tmp_path, ids


def test_cityscapes_labels_are_the_evaluated_classes(tmp_path: Path) -> None:
    root, ids = city(tmp_path)
    theirs = {c.name: c for c in Cityscapes.classes if not c.ignore_in_eval}
    assert dict(TRAIN_IDS) == {c.id: c.name for c in sorted(theirs.values(), key=lambda c: c.train_id)}
    assert [c.train_id for c in sorted(theirs.values(), key=lambda c: c.train_id)] == list(range(19))
    sample = read(f"cityscapes:{root}")[0]
    expected = numpy.full((6, 8), 0)
    expected[ids >= 1000], expected[ids == 24], expected[ids == 3] = 13, 11, 255
    assert numpy.array_equal(sample.target.labels.numpy(), expected)
    assert torch.equal(sample.regions["objects"], torch.from_numpy((ids >= 1000) | (ids == 24)))


def test_cityscapes_instances_are_boxes_with_masks_and_groups_are_crowds(tmp_path: Path) -> None:
    root, ids = city(tmp_path)
    sample = read(f"cityscapes:{root}", task="detection")[0]
    assert sample.target.boxes.tolist() == [[0, 3, 2, 5], [0, 0, 3, 2], [4, 0, 6, 2]]
    assert sample.target.crowd.tolist() == [True, False, False]
    assert sample.target.area.tolist() == [4.0, 6.0, 4.0]
    assert torch.equal(sample.regions["instance:2"], torch.from_numpy(ids == 26001))
    path = root / "gtFine" / "val" / "bonn" / "bonn_000000_000019_gtFine_labelIds.png"
    Image.fromarray(numpy.full((6, 8), 77, dtype=numpy.uint8)).save(path)
    with pytest.raises(BadSample, match="label id"):
        read(f"cityscapes:{root}")[0]
    with pytest.raises(UserError, match="choose split= among val"):
        read(f"cityscapes:{root}", split="test")


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (numpy.full((6, 8), 34, numpy.uint16), "instance id \\[34\\]"),
        (numpy.full((6, 8), 34_001, numpy.uint16), "instance id \\[34001\\]"),
        (numpy.zeros((6, 8, 3), numpy.uint8), "has 3 x 8 x 6 pixels"),
        (numpy.zeros((8, 6), numpy.uint16), "has 6 x 8 pixels, its image 8 x 6"),
    ],
)
def test_instance_ids_beyond_cityscapes_are_refused(ids: numpy.ndarray, message: str, tmp_path: Path) -> None:
    root, _ = city(tmp_path)
    Image.fromarray(ids).save(root / "gtFine" / "val" / "bonn" / "bonn_000000_000019_gtFine_instanceIds.png")
    with pytest.raises(BadSample, match=message):
        read(f"cityscapes:{root}", task="detection")[0]
