"""Swapping contexts: whose background is borrowed, what is pasted, and what is scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch

from robustbench_cv.boxes import from_mask
from robustbench_cv.catalogue import INTERVENTIONS
from robustbench_cv.errors import BadSample, NotApplicable, UserError
from robustbench_cv.interventions.donors import Donors, Setting
from robustbench_cv.noise import Noise
from robustbench_cv.registry import load_file
from robustbench_cv.tasks import Task
from robustbench_cv.types import IGNORE, BoxTarget, Labels, Sample

synthetic = load_file(Path(__file__).parent / "synthetic_samples.py")
NOISE = Noise(0, ("synthetic/0",))


def swap(spec: str, sample: Sample, donors: Sequence[Sample], noise: Noise = NOISE) -> Sample:
    return INTERVENTIONS.build(spec).with_donors(Donors(donors))(sample, noise)


def borrowed_from(after: Sample, donors: Sequence[Sample]) -> str:
    """The donor whose background pixels these are."""
    clear = after.edit.region & ~donors[0].regions["objects"]
    clear[:, :20] = False  # away from all objects and their fills
    clear[5:30, 20:45] = False
    (name,) = [d.id for d in donors if torch.equal(d.image[:, clear], after.image[:, clear])]
    return name


def test_objects_are_pasted_and_the_rest_is_the_donors() -> None:
    sample, donors = synthetic.sample("detection"), synthetic.donors("detection")
    after = swap("swap-context", sample, donors)
    found = sample.regions["objects"]
    assert torch.equal(after.image[:, found], sample.image[:, found])
    assert torch.equal(after.edit.region, ~found)
    assert borrowed_from(after, donors)
    assert torch.equal(after.target.boxes, sample.target.boxes)
    assert torch.equal(after.edit.before.boxes, sample.target.boxes)
    assert not after.edit.before.crowd.any()


def test_contexts_decide_who_lends() -> None:
    donors = synthetic.donors("classification")
    contexts = {d.id: d.attributes["context"] for d in donors}
    lenders: dict[str, set[str]] = {"random": set(), "same": set(), "context:snow": set()}
    for i in range(20):
        sample = synthetic.sample("classification", f"s/{i}")
        for to, seen in lenders.items():
            after = swap(f"swap-context(to={to!r})", sample, donors, Noise(0, (sample.id,)))
            seen.add(borrowed_from(after, donors))
            assert after.attributes["context"] == contexts[borrowed_from(after, donors)]
    assert {contexts[d] for d in lenders["random"]} == {"sea", "snow"}
    assert {contexts[d] for d in lenders["same"]} == {"street"}
    assert {contexts[d] for d in lenders["context:snow"]} == {"snow"}
    assert len(lenders["random"]) >= 4  # not always the same one


def test_more_donors_change_a_choice_only_to_themselves() -> None:
    sample, donors = synthetic.sample("classification"), synthetic.donors("classification")
    before = borrowed_from(swap("swap-context", sample, donors), donors)
    for i in range(10):
        extra = synthetic.sample("classification", f"extra/{i}", "sea", seed=50 + i)
        assert borrowed_from(swap("swap-context", sample, [extra, *donors]), [extra, *donors]) in (before, extra.id)


def test_without_contexts_same_means_the_main_class_and_random_any_other() -> None:
    car, boat, nowhere = Setting(None, "car"), Setting(None, "boat"), Setting("sea", "boat")
    assert car.suits("same", car)
    assert not car.suits("same", boat)
    assert car.suits("random", boat)
    assert car.suits("random", car)
    assert boat.suits("same", nowhere)
    assert not Setting(None, None).suits("same", Setting(None, None))


def test_donors_cannot_lend_to_themselves_nor_without_known_objects() -> None:
    sample = synthetic.sample("classification")
    for donors in ([sample], [replace(synthetic.donors("classification")[1], regions={})]):
        with pytest.raises(NotApplicable, match=r"no donor can lend a background .* synthetic/0"):
            swap("swap-context", sample, donors)
    with pytest.raises(UserError, match="call with_donors"):
        INTERVENTIONS.build("swap-context")(sample, NOISE)


def test_a_label_map_takes_the_donors_labels_where_they_are_known() -> None:
    sample, donors = synthetic.sample("segmentation"), synthetic.donors("segmentation")
    after = swap("swap-context(what='boat')", sample, donors)
    boat, found = sample.regions["class:boat"], sample.regions["objects"]
    assert (after.target.labels[boat] == synthetic.CLASSES.index("boat")).all()
    unknown = after.target.labels == IGNORE
    assert (unknown & ~boat)[found & ~boat].all()  # the donor's own objects were filled: nobody knows the label there
    assert torch.equal(after.target.labels[~unknown & ~boat], donors[0].target.labels[~unknown & ~boat])
    assert torch.equal(after.edit.before.labels == IGNORE, unknown)
    assert unknown.float().mean() < 0.4
    assert after.edit.removed == {"car"}


def test_plain_backgrounds_leave_only_objects_to_score() -> None:
    sample = synthetic.sample("segmentation")
    after = INTERVENTIONS.build("swap-context(to='gray')")(sample, NOISE)
    assert torch.equal(after.target.labels != IGNORE, sample.regions["objects"])
    assert (after.image[:, after.edit.region] == 0.5).all()
    assert "context" not in after.attributes
    black = INTERVENTIONS.build("object-only")(sample, NOISE)
    assert (black.image[:, black.edit.region] == 0).all()


@pytest.mark.parametrize("to", ["blur", "noise"])
def test_backgrounds_made_of_the_image_hold_nothing_of_the_object(to: str) -> None:
    sample = synthetic.sample("classification")
    found = sample.regions["objects"]
    other = replace(sample, image=torch.where(found, 1 - sample.image, sample.image))
    made = [INTERVENTIONS.build(f"swap-context(to={to!r}, what='object')")(s, NOISE) for s in (sample, other)]
    region = made[0].edit.region
    torch.testing.assert_close(made[0].image[:, region], made[1].image[:, region], atol=1e-6, rtol=0)
    assert (made[0].image - sample.image)[:, region].abs().mean() > 0.02


def test_objects_that_are_not_pasted_are_crowd_before() -> None:
    after = swap("swap-context(what='car')", synthetic.sample("detection"), synthetic.donors("detection"))
    assert after.target.labels.tolist() == [0, 0]
    assert after.edit.before.labels.tolist() == [0, 0, 1]
    assert after.edit.before.crowd.tolist() == [False, False, True]
    assert torch.equal(after.regions["instance:1"], synthetic.sample("detection").regions["instance:2"])


def test_donors_of_another_size_are_resized() -> None:
    sample = synthetic.sample("segmentation")
    donor = synthetic.sample("segmentation", "large", "sea")
    crop = (slice(0, 30), slice(0, 50))
    small = replace(
        donor,
        image=donor.image[:, *crop],
        target=type(donor.target)(donor.target.labels[crop]),
        regions={name: mask[crop] for name, mask in donor.regions.items()},
    )
    after = swap("swap-context", sample, [small])
    assert after.image.shape == sample.image.shape
    assert set(after.target.labels.unique().tolist()) <= {0, 1, 2, 3, IGNORE}
    horizon = (after.target.labels == 3).any(dim=1).nonzero().max()
    assert abs(int(horizon) - 26) <= 1  # row 19 of 30 is row 26 of 40


def test_crowds_among_the_objects_are_pasted_as_crowds() -> None:
    sample = synthetic.sample("detection")
    crowded = replace(sample, target=replace(sample.target, crowd=torch.tensor([False, False, True])))
    after = swap("swap-context", crowded, synthetic.donors("detection"))
    assert after.target.crowd.tolist() == [False, False, True]


def test_a_donor_with_little_background_is_passed_over() -> None:
    sample, donors = synthetic.sample("detection"), synthetic.donors("detection")
    wide = torch.zeros(synthetic.HEIGHT, synthetic.WIDTH, dtype=torch.bool)
    wide[:, :30] = True
    full = [replace(d, regions={"objects": wide}, target=BoxTarget.of(from_mask(wide)[None], torch.tensor([0]))) for d in donors]
    with pytest.raises(NotApplicable):
        swap("swap-context", sample, full)


@dataclass(frozen=True)
class Faulty:
    """A data set whose first samples cannot be read."""

    samples: Sequence[Sample]
    bad: frozenset[str]
    name: str = "faulty"
    task: Task = "classification"

    @property
    def labels(self) -> Labels:
        return Labels(synthetic.CLASSES)

    @property
    def ids(self) -> list[str]:
        return [s.id for s in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        if self.samples[index].id in self.bad:
            raise BadSample(f"{self.samples[index].id} is broken")
        return self.samples[index]

    def fingerprint(self, index: int) -> str:
        return self.ids[index]


def test_a_data_set_lends_as_its_samples_do_and_broken_ones_are_passed_over() -> None:
    sample, donors = synthetic.sample("classification"), synthetic.donors("classification")
    first = borrowed_from(swap("swap-context", sample, donors), donors)
    whole = INTERVENTIONS.build("swap-context").with_donors(Donors(Faulty(donors, frozenset())))(sample, NOISE)
    assert borrowed_from(whole, donors) == first
    rest = INTERVENTIONS.build("swap-context").with_donors(Donors(Faulty(donors, frozenset({first}))))(sample, NOISE)
    assert borrowed_from(rest, donors) != first


def test_settings_are_read_once() -> None:
    donors = Donors(synthetic.donors("classification"))
    wanted = Setting("sea", None)
    again = [[d.id for d in donors.lend(synthetic.sample("classification"), 0, lambda s: s == wanted)] for _ in range(2)]
    assert again[0] == again[1]
    assert len(donors.settings) == 9


def test_candidates_are_all_of_few_and_64_of_many_whatever_their_order() -> None:
    for count in (1, 2, 10, 65, 66, 130, 5000):
        ids = [f"photo {i}" for i in range(count)]
        donors, backwards = Donors(Named(ids)), Donors(Named(ids[::-1]))
        for id_ in ("photo 0", "elsewhere"):
            chosen = [ids[i] for i in donors.candidates(id_, 0)]
            assert len(set(chosen)) == len(chosen) == min(64, count - (id_ in ids))
            assert id_ not in chosen
            assert chosen == [ids[::-1][i] for i in backwards.candidates(id_, 0)]
    assert chosen != [ids[i] for i in donors.candidates("elsewhere", 1)]


def test_every_donor_is_as_likely_to_lend_as_any_other() -> None:
    donors = Donors(Named([f"photo {i}" for i in range(40)]))
    first = Counter(donors.candidates(f"sample {i}", 0)[0] for i in range(4000))
    assert len(first) == 40
    assert max(first.values()) < 150  # of 100 each, give or take 10


def test_a_lost_donor_moves_few_choices() -> None:
    ids = [f"photo {i}" for i in range(200)]
    all_, rest = Donors(Named(ids)), Donors(Named(ids[1:]))
    moved = sum(ids[all_.candidates(f"s{i}", 0)[0]] != ids[1 + rest.candidates(f"s{i}", 0)[0]] for i in range(400))
    assert moved < 20


def test_what_an_edit_depends_on_are_its_candidates_each_read_once() -> None:
    data = Named([f"photo {i}" for i in range(1000)])
    donors = Donors(data)
    first = donors.fingerprints(["photo 3"], 0)
    assert [id_ for id_, _ in first] == sorted(f"photo {i}" for i in donors.candidates("photo 3", 0))
    assert donors.fingerprints(["photo 3"], 0) == first
    assert len(data.read) == 64


@dataclass(frozen=True, eq=False)
class Named:
    """A data set of ids alone, that notes whose bytes are read."""

    ids: Sequence[str]
    read: list[int] = field(default_factory=list)
    name: str = "named"
    task: Task = "classification"
    labels: Labels = field(default_factory=lambda: Labels(("car", "boat")))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        raise BadSample(f"{self.ids[index]} is but a name")

    def fingerprint(self, index: int) -> str:
        self.read.append(index)
        return f"bytes of {self.ids[index]}"
