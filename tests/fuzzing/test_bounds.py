"""Inputs made to take memory, time, or a file that is nobody's business: each ends soon, in a sentence, or is read as what it is."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import safetensors.torch
import torch
from PIL import Image

from robustbench_cv.catalogue import DATASETS, MODELS
from robustbench_cv.data import rle
from robustbench_cv.data.images import read_image, read_mask
from robustbench_cv.errors import BadSample, RobustBenchError, UserError
from robustbench_cv.models.checkpoint import read_state
from robustbench_cv.models.detectors.darknet import cfg as darknet_cfg
from robustbench_cv.models.detectors.darknet.network import DarknetNetwork
from robustbench_cv.scoring.rendered import Rendered
from robustbench_cv.specs import Spec
from robustbench_cv.suite_files import read_suite
from tests.fuzzing import parsers
from tests.fuzzing.guard import guarded
from tests.fuzzing.parsers import PARSERS, picture, text

# --- YAML, JSON, XML, specs ------------------------------------------------------------------------------------------------------------

BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1}, *a{k - 1}, *a{k - 1}]\n" for k in range(1, 40))
"""3^39 parts in forty lines."""


@pytest.mark.parametrize("field", ["names", "nc", "path", "kpt_shape", "val"])
def test_a_bomb_of_aliases_in_a_data_yaml_ends_in_a_sentence(field: str, tmp_path: Path) -> None:
    given = {"names": "[car]", "val": "images"} | {field: "*a39"}
    text(tmp_path / "data.yaml", BOMB + "".join(f"{key}: {value}\n" for key, value in given.items()))
    with (
        guarded(tmp_path),
        pytest.raises(UserError, match=r"data\.yaml, line \d+ is no YAML: with its aliases written out it has more than"),
    ):
        DATASETS.build(f"yolo:{tmp_path}")


WHOLE_SUITE = """name: a
version: 1
tracks: [{task: classification, metrics: [top-1], conditions: [clean], models: [lenet5], datasets: [scenes]}]
"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB + "name: *a39\n", "with its aliases written out it has more than 50,000 parts"),
        ("a: &a [*a]\n", "an alias stands inside what it stands for"),
        ("x: " + "[" * 20_000, "nested too deeply"),
        ("x: " + "{a: " * 20_000, "nested too deeply"),
        ("<<: &m {a: 1}\n" + "b: " + "- " * 5_000 + "1\n", "line 2"),
        (WHOLE_SUITE + "name: b\n", "stands twice"),
        ("name: " + "9" * 5_000, "is no date, time or number"),
        ("name: x\n" * 100_000, "takes up to"),
        ("!!python/object/apply:os.system [touch owned]\n", "asks for more than plain data"),
        ("name: !!binary " + "A" * 100_000 + "\n", "name"),
    ],
)
def test_a_suite_that_would_grow_or_run_ends_in_a_sentence(content: str, message: str, tmp_path: Path) -> None:
    text(tmp_path / "a.yaml", content)
    with guarded(tmp_path), pytest.raises(UserError, match=message):
        read_suite(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 100_000, '{"images": [' + "[" * 5000 + "]" * 5000 + "]}", '{"images": ' + "9" * 100_000 + "}"],
    ids=["lists", "objects", "inside", "number"],
)
def test_json_nested_deeply_or_of_huge_numbers_ends_in_a_sentence(content: str, tmp_path: Path) -> None:
    parsers.PARSERS[0]
    text(tmp_path / "instances.json", content)
    (tmp_path / "images").mkdir()
    with guarded(tmp_path), pytest.raises(UserError, match=r"instances\.json"):
        DATASETS.build(f"coco:{tmp_path}")


def test_a_key_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    """A look at all earlier keys for each took minutes."""
    keys = ", ".join(f'"k{k}": 0' for k in range(200_000))
    text(tmp_path / "a.json", f'{{{keys}, "k199999": 1, "images": [], "annotations": [], "categories": []}}')
    with guarded(tmp_path), pytest.raises(UserError, match="'k199999' twice"):
        DATASETS.build(f"coco:{tmp_path / 'a.json'}(images={str(tmp_path)!r})")


@pytest.mark.parametrize(
    "spec", ["a(" + "(" * 5000, "a(b=" + "[" * 50_000, "a" * 10**6, "a(b=" + "-" * 100_000 + "1)", "a(b='" + "x" * 10**6 + "')"]
)
def test_a_long_or_deep_spec_ends_in_a_sentence(spec: str, tmp_path: Path) -> None:
    with guarded(tmp_path), pytest.raises(UserError) as caught:
        MODELS.build(spec)
    assert len(str(caught.value)) < 2000


# --- run lengths, arrays ---------------------------------------------------------------------------------------------------------------


def test_compressed_run_lengths_take_linear_time() -> None:
    """One number of 800 kB, which as an integer costs its square, and 800 kB of numbers."""
    begin = time.process_time()
    for counts in ("o" * 800_000, "0" * 800_000, "1" * 800_000, "o1" * 400_000):
        with pytest.raises(ValueError, match="mask") as caught:
            rle.check(rle.runs_of_text(counts), 100, 100)
        assert len(str(caught.value)) < 300
    assert time.process_time() - begin < 8


def _npz(path: Path, shape: str, data: bytes = b"", kind: str = "|u1", compressed: bool = False) -> None:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117).encode() + b"\n"
    labels = io.BytesIO()
    numpy.save(labels, numpy.zeros(2, dtype=numpy.int64))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)
        archive.writestr("labels.npy", labels.getvalue())


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ("(1000000000000, 16, 16, 3)", "|u1"),
        (f"({10**30}, 1, 1, 3)", "|u1"),
        ("(2, -1, 4, 3)", "|u1"),
        ("(2, 4, 4, 3)", "|O"),
        ("()", "<U9999999"),
    ],
)
def test_an_array_that_claims_what_it_does_not_hold_takes_no_memory(shape: str, kind: str, tmp_path: Path) -> None:
    _npz(tmp_path / "a.npz", shape, b"x" * 96, kind)
    with guarded(tmp_path), pytest.raises(UserError, match=r"a\.npz"):
        DATASETS.build(f"npz:{tmp_path / 'a.npz'}")


def test_an_array_packed_ten_thousandfold_takes_no_memory(tmp_path: Path) -> None:
    claimed = 3 * 2**34
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({claimed // 3}, 1, 1, 3), }}".ljust(117).encode() + b"\n"
    labels = io.BytesIO()
    numpy.save(labels, numpy.zeros(2, dtype=numpy.int64))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", labels.getvalue())
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(2**22))
        archive.getinfo("images.npy").file_size = claimed + 10 + len(header)  # in the directory, which the header agrees with
    with guarded(tmp_path), pytest.raises(UserError, match="zip bomb"):
        DATASETS.build(f"npz:{tmp_path / 'a.npz'}")


# --- what is no file -------------------------------------------------------------------------------------------------------------------


def _socket(path: Path) -> None:
    where = os.getcwd()
    os.chdir(path.parent)  # the name of a socket has a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(where)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "fifo": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "nowhere": lambda path: path.symlink_to("/nowhere/at/all"),
    "socket": _socket,
}


OPTIONAL = (
    "yolo predictions",
    "predicted mask",
    "cifar-c labels",
    "imagenet words",
    "predicted classes",
    "voc objects",
    "record of a patch",
    "record of a perturbation",
)
"""Files that need not be there: what is none in their place counts as none."""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes, devices and links to them are POSIX's")
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_waited_for_by_no_reader(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each reader with each of these in the place of its file: an error of ours (a file that is gone may also be none), and no waiting."""
    for parser in PARSERS:
        if not parser.quick or parser.make is parsers._scored:
            continue  # of a run folder copies are damaged: see below
        folder = tmp_path_factory.mktemp("no-file")
        parser.make(folder)
        path = folder / parser.file
        path.unlink()
        NO_FILES[kind](path)
        try:
            with guarded(folder):
                parser.read(folder)
        except RobustBenchError:
            continue
        assert parser.name in OPTIONAL or (kind == "nowhere" and "labels" in parser.name), f"{parser.name} took a {kind} for a file"


@pytest.mark.skipif(os.name != "posix", reason="pipes are POSIX's")
@pytest.mark.parametrize("file", ["run/run.json", "run/findings.json"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(file: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    text(tmp_path / "run/run.json", "{}")
    path = tmp_path / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    from robustbench_cv.results import Results

    with guarded(tmp_path), pytest.raises(RobustBenchError):
        Results.open(tmp_path / "run")


# --- images ----------------------------------------------------------------------------------------------------------------------------


def _png(width: int, height: int, data: bytes = b"", *, colours: int = 2, more: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def _text_bomb() -> bytes:
    body = b"Comment\0\0" + zlib.compress(bytes(200 * 2**20))
    return struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))


def _tiff(**tags: Any) -> bytes:
    """A TIFF of 4 x 4 grey pixels with other values of some tags: number: (type, count, value)."""
    entries = {256: (3, 1, 4), 257: (3, 1, 4), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 1, 8), 277: (3, 1, 1),
               278: (3, 1, 4), 279: (4, 1, 16)} | {int(k[1:]): v for k, v in tags.items()}  # fmt: skip
    body = b"".join(struct.pack("<HHII", number, *entries[number]) for number in sorted(entries))
    return b"II*\0" + struct.pack("<I", 24) + bytes(16) + struct.pack("<H", len(entries)) + body + struct.pack("<I", 0)


IMAGES = {
    "PNG of 10^10 pixels": _png(100_000, 100_000),
    "PNG just above the limit": _png(9_500, 9_500),
    "PNG without size": _png(0, 0),
    "PNG of a text of 200 MB": _png(4, 4, bytes(4 * 13), more=_text_bomb()),
    "PNG cut": _png(4, 4, bytes(10)),
    "TIFF of a million channels": _tiff(_277=(4, 1, 1_000_000)),
    "TIFF of 65,535 channels": _tiff(_277=(3, 1, 65_535), _258=(3, 65_535, 8)),
    "TIFF of 10^9 x 10^9": _tiff(_256=(4, 1, 10**9), _257=(4, 1, 10**9)),
    "TIFF whose strip lies far away": _tiff(_273=(4, 1, 2**32 - 1)),
    "TIFF with a million strips": _tiff(_273=(4, 1_000_000, 8), _279=(4, 1_000_000, 8)),
    "TIFF of negative bits": _tiff(_258=(8, 1, 2**32 - 8)),
    "PPM of 10^10": b"P6 100000 100000 255\n",
    "PPM with a long number": b"P6 " + b"1" * 10**6 + b" 1 255\n",
    "GIF of 65,535 x 65,535": b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\x02L\x01\0;",
    "BMP of 2^31": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) (w) file\n",
    "SVG": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
}


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("read", [read_image, read_mask])
def test_an_image_made_to_explode_ends_in_a_sentence(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(IMAGES[name])
    begin = time.process_time()
    with guarded(tmp_path), pytest.raises(BadSample, match=r"a\.png"):
        read(tmp_path / "a.png")
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("value", [0, 9, 255, 65_535, "6", (6, 3), b"\xff" * 100, "a" * 60_000])
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
def test_an_odd_exif_orientation_turns_nothing(value: Any, suffix: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = value if isinstance(value, str | bytes) else "x"
    data = exif.tobytes() if isinstance(value, str | bytes | tuple) else None
    if data is None:
        exif[0x0112] = value
        data = exif.tobytes()
    else:
        data = data.replace(b"\x0e\x01", b"\x12\x01", 1)  # the tag of the description becomes the orientation's, its type stays text
    try:
        picture(tmp_path / f"a.{suffix}", exif=data)
    except (ValueError, OSError, struct.error, TypeError) as error:
        pytest.skip(f"Pillow cannot write it: {error}")
    with guarded(tmp_path):
        assert read_image(tmp_path / f"a.{suffix}", upright=True).shape == (3, 8, 12)


def test_an_exif_that_points_to_itself_is_no_loop(tmp_path: Path) -> None:
    """IFD0 names itself as its next and as its Exif IFD."""
    entries = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    exif = b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entries + struct.pack("<I", 8)
    picture(tmp_path / "a.jpg", exif=exif)
    with guarded(tmp_path):
        assert read_image(tmp_path / "a.jpg", upright=True).shape == (3, 8, 12)


# --- networks and weights --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "count", "message"),
    [
        ("[convolutional]\nfilters=4\n", 50_000, "is of 50,002 layers; this reader builds up to"),
        ("[upsample]\nstride=16384\n", 2, "outputs for one image|it must be"),
        ("[convolutional]\nfilters=100000000\nsize=3\n", 1, "filters"),
        ("[route]\nlayers=" + ",".join(["-1"] * 20_000) + "\n", 1, "needs 6 maps before it, found 80000|layers"),
    ],
)
def test_a_darknet_network_beyond_any_machine_ends_in_a_sentence(layer: str, count: int, message: str, tmp_path: Path) -> None:
    content = (
        "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=4\n"
        + layer * count
        + "[yolo]\nmask=0\nanchors=1,2\nclasses=1\nnum=1\n"
    )
    with guarded(tmp_path), pytest.raises(UserError, match=message):
        DarknetNetwork(darknet_cfg.parse(content))


@pytest.mark.slow
def test_weights_do_not_choose_code_or_a_huge_network(tmp_path: Path) -> None:
    def described(**said: Any) -> str:
        metadata = {"robustbench_cv": json.dumps({"architecture": "lenet5", "classes": ["a"], "arguments": {}} | said)}
        safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=metadata)
        return f"finetuned:{tmp_path}/a.safetensors"

    with pytest.raises(UserError, match="numbers where the file holds"):
        MODELS.build(described(classes=["a", "b"]))  # once unwatched: the first network on the meta device imports half of torch
    text(tmp_path / "mine.py", f"open({str(tmp_path / 'owned')!r}, 'w')\ndef build():\n    raise RuntimeError('ran')\n")
    for architecture in (
        f"{tmp_path}/mine.py:build", "hf:someone/model", "lenet5(checkpoint='/etc/passwd')", "darknet:a.cfg",
        "timm:resnet18(pretrained=True)", "lenet5(num_classes=100000)", "x" * 10_000, "gallery(embedder='mine.py:build')",
        f"finetuned:{tmp_path}/a.safetensors",
    ):  # fmt: skip
        with guarded(tmp_path), pytest.raises(UserError):
            MODELS.build(described(architecture=architecture))
    with guarded(tmp_path), pytest.raises(UserError):
        MODELS.build(described(classes=[f"{k}" for k in range(200_000)]))
    assert not (tmp_path / "owned").exists()


class _Runs:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return open, (self.path, "w")


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("spec", ["lenet5(checkpoint={!r})", "finetuned:{}", "timm:resnet18(checkpoint={!r})", "ultralytics:{}"])
def test_a_checkpoint_runs_no_code(spec: str, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "x": _Runs(str(tmp_path / "owned"))}, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError):
        MODELS.build(spec.format(str(path)))
    assert not (tmp_path / "owned").exists()


def test_a_torch_file_packed_thousandfold_ends_in_a_sentence(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10)}, tmp_path / "whole.pt")
    with zipfile.ZipFile(tmp_path / "whole.pt") as whole, zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in whole.namelist():
            packed.writestr(name, bytes(2**28) if name.endswith("/data/0") else whole.read(name))
    with guarded(tmp_path), pytest.raises(UserError, match=r"a\.pt"):
        read_state(tmp_path / "a.pt")


# --- names that lead elsewhere ---------------------------------------------------------------------------------------------------------

ELSEWHERE = (
    "../secret.png", "a/../../secret.png", "/etc/passwd", "..\\secret.png", "C:\\secret.png", "\\\\host\\share\\a.png", "//host/a.png",
    "%2e%2e/secret.png",
    "a/%2e%2e/%2e%2e/secret.png", "..%2fsecret.png", "\0", "", ".", "..", "./..", "images\0.png", "a" * 5000, "/".join(["a"] * 3000),
)  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE, ids=lambda n: repr(n[:20]))
def test_no_annotation_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    picture(tmp_path / "secret.png")
    root = tmp_path / "data"
    (root / "images/a").mkdir(parents=True)
    content = {"images": [{"id": 1, "file_name": name}], "annotations": [], "categories": [{"id": 1, "name": "car"}]}
    text(root / "instances.json", json.dumps(content))
    with guarded(root):
        data: Any = DATASETS.build(f"coco:{root}(images={str(root / 'images')!r})") if name.strip("./") else None
        if data is not None:
            data.fingerprint(0)
            assert data.file_of(0) is None or data.file_of(0).resolve() != tmp_path / "secret.png"
            with pytest.raises(BadSample, match=r"leads out of|does not exist|cannot be opened"):
                data[0]


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a/../../../secret", "..\\..\\secret", ".hidden"])
def test_no_split_of_voc_leads_out_of_its_folder(name: str, tmp_path: Path) -> None:
    parsers._voc(tmp_path / "voc")
    text(tmp_path / "voc/ImageSets/Main/val.txt", f"{name}\n")
    with guarded(tmp_path), pytest.raises(UserError, match="which is no name of an image"):
        DATASETS.build(f"voc:{tmp_path / 'voc'}")


def test_a_link_is_followed_and_a_ring_of_links_ends(tmp_path: Path) -> None:
    """Who keeps images in a store and links to them does so on purpose; see docs/security.md."""
    picture(tmp_path / "store/0.png")
    for name in ("car", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / f"{name}.png").symlink_to(tmp_path / "store/0.png")
        (tmp_path / "data" / name / "again").symlink_to(tmp_path / "data", target_is_directory=True)
    with guarded(tmp_path):
        data: Any = DATASETS.build(f"folder:{tmp_path / 'data'}")
        assert len(data) < 20
        assert data[0].image.shape == (3, 8, 12)


def test_a_manifest_of_rendered_images_opens_no_file(tmp_path: Path) -> None:
    parsers._rendered(tmp_path)
    path = tmp_path / "rendered/manifest.json"
    said = json.loads(path.read_text())
    for image in said["images"]:
        image["file"] = "../../../etc/passwd"
    path.write_text(json.dumps(said))
    one = Rendered.open(tmp_path / "rendered")
    assert set(one.names.values()) == set(one.samples)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    parsers._scored(folder)
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("place", ["key", "image", "labels"])
def test_a_run_folder_shows_no_file_but_its_own(place: str, run_folder: Path, tmp_path: Path) -> None:
    """A folder that somebody sends names its pictures; a name that leads out of it would put another file of this machine on the page."""
    import msgspec

    from robustbench_cv.kept_files import load_kept, write_kept
    from robustbench_cv.results import Results

    run = shutil.copytree(run_folder, tmp_path / "run")
    picture(tmp_path / "secret.png")
    index = next((run / "images").glob("*/index.json"))
    if place == "key":
        said = json.loads((run / "run.json").read_text())
        said["cells"][0]["key"] = "../../outside"
        (run / "run.json").write_bytes(msgspec.json.encode(said))
    else:
        entries = load_kept(index, list[dict[str, Any]], remedy="")
        if place == "image":
            entries[0]["after"]["image"] = "../../../secret.png"
        else:
            entries[0]["after"]["prediction"] = {"labels": str(tmp_path / "secret.png")}
        write_kept(index, entries)
    with pytest.raises(UserError, match=r"is no file beside it|is no file name"):
        Results.open(run).pictures()


@pytest.mark.parametrize(
    "text_", ["lenet5.scenes ", "x(y=__import__('os').system('true'))", "x(y=open('/etc/passwd'))", "x(y=1 if 1 else 2)"]
)
def test_a_spec_evaluates_nothing(text_: str) -> None:
    if "(" in text_:
        with pytest.raises(UserError):
            Spec.parse(text_)


@pytest.mark.parametrize("line", [".", "images/..", "/", "//"])
def test_a_list_of_images_that_names_its_own_folder_is_refused(line: str, tmp_path: Path) -> None:
    parsers._yolo_list(tmp_path)
    text(tmp_path / "val.txt", f"images/val/0.png\n{line}\n")
    with guarded(tmp_path), pytest.raises(UserError, match=r"names the folder .* as an image"):
        DATASETS.build(f"yolo:{tmp_path}")
