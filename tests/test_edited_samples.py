"""Samples are read, edited and predicted once however many conditions and models ask, and what is kept is what was made."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.foreign_errors import read_sample
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.runner import edited_samples
from robustbench_cv.runner.cell import EDITED_TWICE
from robustbench_cv.runner.edited_samples import OriginalPredictions, Renderings
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.runner.sample_files import read_sample_file, write_sample
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import ClassPrediction, Dataset, Labels, Sample

synthetic = load_file(Path(__file__).parent / "synthetic_samples.py")

EDITS = (
    "remove(fill='telea')",
    "occlude(share=0.4)",
    "patch-shuffle()",
    "rotate()",
    "crop-context()",
    "hide-and-seek()",
    "fog(severity=3)",
)


class Pictures:
    """Synthetic samples of detection, and how often each was read."""

    name, task, labels = "pictures", "detection", Labels(synthetic.CLASSES)

    def __init__(self, count: int) -> None:
        self.ids = tuple(f"pictures/{k}" for k in range(count))
        self.read: Counter[int] = Counter()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        self.read[index] += 1
        made: Sample = synthetic.sample("detection", self.ids[index], seed=index)
        return made

    def fingerprint(self, index: int) -> str:
        return str(index)


def shared(pictures: Dataset, folder: Path, models: int) -> Renderings:
    made = Renderings(pictures)
    for _ in range(models):
        made.serve_model(folder, 0)
    return made


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
@pytest.mark.parametrize("spec", EDITS)
def test_a_sample_comes_back_from_its_file_as_it_was(spec: str, task: str, tmp_path: Path) -> None:
    sample = synthetic.sample(task)
    try:
        made = INTERVENTIONS.build(spec)(sample, Noise(3, (sample.id,), "any"))
    except NotApplicable:
        made = sample
    for one in (sample, made):
        write_sample(tmp_path / "one.safetensors", one)
        again = read_sample_file(tmp_path / "one.safetensors")
        assert again is not None
        assert synthetic.digest(again) == synthetic.digest(one)


def test_the_digest_of_a_sample_sees_all_that_an_edit_says() -> None:
    """Or the test above would pass for a file that forgets it."""
    made = INTERVENTIONS.build("rotate()")(synthetic.sample("detection"), Noise(3, ("synthetic/0",), "any"))
    assert made.edit is not None
    digests = {synthetic.digest(made)}
    for other in ({"moved": not made.edit.moved}, {"subject": made.target}, {"share": 0.123}, {"removed": frozenset({"zebra"})}):
        digests.add(synthetic.digest(replace(made, edit=replace(made.edit, **other))))
    assert len(digests) == 5


def test_an_edit_is_made_once_for_two_models_and_again_where_its_file_is_damaged(tmp_path: Path) -> None:
    pictures = Pictures(2)
    kept = shared(pictures, tmp_path, 2)
    made: list[str] = []

    def make() -> Sample:
        made.append("again")
        return replace(kept.original(0), image=kept.original(0).image * 0.5)

    first, second = (kept.edited(kept.original(0), ("planted",), make) for _ in range(2))
    assert len(made) == 1
    assert synthetic.digest(first) == synthetic.digest(second)
    kept.edited(kept.original(0), ("another",), make)
    kept.edited(kept.original(1), ("planted",), make)
    assert len(made) == 3
    for file in tmp_path.iterdir():
        file.write_bytes(file.read_bytes()[:100])
    assert synthetic.digest(kept.edited(kept.original(0), ("planted",), make)) == synthetic.digest(first)
    assert len(made) == 4


def test_a_single_model_leaves_nothing_on_disk(tmp_path: Path) -> None:
    kept = shared(Pictures(1), tmp_path, 1)
    kept.edited(kept.original(0), ("planted",), lambda: kept.original(0))
    assert not list(tmp_path.iterdir())


def test_the_least_recently_used_originals_are_let_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pictures = Pictures(3)
    kept = shared(pictures, tmp_path, 2)
    size = edited_samples._size(pictures[0])
    pictures.read.clear()
    monkeypatch.setattr(edited_samples, "MEMORY", 2 * size)
    for index in (0, 1, 0, 2, 0, 1):  # 1 is let go for 2
        kept.original(index)
    assert pictures.read == Counter({0: 1, 1: 2, 2: 1})


def test_a_full_disk_share_makes_edits_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(edited_samples, "DISK", 1)
    kept, made = shared(Pictures(3), tmp_path, 2), Counter[int]()
    for index in (0, 1, 2, 0, 1, 2):

        def make(index: int = index) -> Sample:
            made[index] += 1
            return kept.original(index)

        kept.edited(kept.original(index), ("planted",), make)
    assert made == Counter({0: 1, 1: 2, 2: 2})  # the first file is over the limit already


def test_predictions_of_originals_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    one = ClassPrediction(torch.full((4,), 0.25))
    monkeypatch.setattr(edited_samples, "MEMORY", 2 * 16)
    kept = OriginalPredictions()
    kept.keep({str(k): one for k in range(5)})
    assert [kept.get(str(k)) is not None for k in range(5)] == [True, True, False, False, False]


COUNTED = """
import hashlib
from dataclasses import replace
from pathlib import Path
import torch
from torch import nn
from robustbench_cv.models.adapt import classifier
from robustbench_cv.types import Edit, Labels

LOG = Path(__file__).parent


def note(name, tensors):
    with (LOG / name).open("a") as file:
        file.writelines(hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() + "\\n" for t in tensors)


class Counted(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name, self.scale = name, nn.Parameter(torch.ones(()))

    def forward(self, x):
        note(self.name, x.detach())
        return 10 * self.scale * torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], dim=1)


def model(name): return classifier(Counted(name), name=name, classes=Labels(("light", "dark")))


class Darker:
    needs, control, removes_objects = frozenset(), None, False

    def __init__(self, factor): self.factor = factor

    def __call__(self, sample, noise):
        note("edits", [sample.image])
        edit = Edit("darker", torch.ones(sample.image.shape[-2:], dtype=torch.bool), sample.target)
        return replace(sample, image=sample.image * self.factor, edit=edit)


def darker(factor): return Darker(factor)
"""


def test_a_run_reads_edits_and_predicts_each_image_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    images = numpy.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=numpy.uint8)
    numpy.savez(tmp_path / "data.npz", images=images, labels=numpy.arange(10) % 2, classes=numpy.array(["light", "dark"]))
    read: Counter[int] = Counter()

    def counting(dataset: Dataset, index: int) -> Sample:
        read[index] += 1
        return read_sample(dataset, index)

    monkeypatch.setattr(edited_samples, "read_sample", counting)
    file = tmp_path / "counted.py"
    models = tuple(f"{file}:model(name={name!r})" for name in ("first", "second"))
    edits = tuple(Condition(f"darker {f}", (f"{file}:darker(factor={f})",)) for f in (0.9, 0.8, 0.7))
    counts: list[dict[str, Counter[str]]] = []
    for conditions in ((CLEAN,), (CLEAN, *edits)):
        read.clear()
        (tmp_path / "edits").write_text("")
        (tmp_path / "first").write_text("")
        (tmp_path / "second").write_text("")
        track = Track("classification", models, (f"npz:{tmp_path / 'data.npz'}",), conditions, ("top-1",))
        run_suite(Suite("counted", 1, (track,), reports=("main-table",)), tmp_path / f"run {len(conditions)}", Options(strength=0))
        counts.append({name: Counter((tmp_path / name).read_text().split()) for name in ("edits", "first", "second")})
        assert read == Counter(dict.fromkeys(range(10), 1))
        assert not (tmp_path / f"run {len(conditions)}" / "edited").exists()

    clean, edited = counts
    # Once for each factor, not for each model; the first samples twice, to see that the same edit comes out.
    assert list(edited["edits"].values()) == [2 * len(edits)] * EDITED_TWICE + [len(edits)] * (10 - EDITED_TWICE)
    for name in ("first", "second"):  # what an edit is compared with was predicted once, with the clean condition
        assert all(edited[name][image] == clean[name][image] > 0 for image in edited["edits"])
