"""Published formulas on made-up predictions: shape bias, the error increase of Terra Incognita, ContextShift's counters, BG-Gap."""

from pathlib import Path

import numpy
import pyarrow
import pytest
import torch

from robustbench_cv import context_results
from robustbench_cv.catalogue import DATASETS, INTERVENTIONS, METRICS
from robustbench_cv.errors import NotApplicable
from robustbench_cv.interventions.cue_conflict import TEXTURE, mirrored_tiles
from robustbench_cv.interventions.donors import Donors
from robustbench_cv.metrics.context_shift import context_shift
from robustbench_cv.metrics.detection_rates import CLAIMED, FOUND, MISLABELLED, OBJECTS, VANISHED
from robustbench_cv.metrics.domain_shift import domain_shift
from robustbench_cv.metrics.evidence import Column
from robustbench_cv.metrics.shape_bias import CUES
from robustbench_cv.noise import Noise
from robustbench_cv.rendering.write_report import build_items
from robustbench_cv.runner.planned_cells import Options
from robustbench_cv.runner.run import run_suite
from robustbench_cv.suite import CLEAN, Condition, Suite, Track
from robustbench_cv.types import ClassPrediction, ClassTarget, Labels, Sample


def test_shape_bias_of_the_published_counts() -> None:
    """Geirhos et al.: 214 answers name the shape, 786 the texture."""
    metric = METRICS.build("shape-bias", labels=Labels(("cat", "elephant")))
    cues = [{"shape": k < 214, "texture": 214 <= k < 1000} for k in range(1280)]
    assert metric.reduce(pyarrow.array(cues, CUES)) == pytest.approx(0.214)
    sample = Sample("a", torch.zeros(3, 4, 4), ClassTarget(0), attributes={TEXTURE: "elephant"})
    assert metric.measure(ClassPrediction(torch.tensor([0.1, 0.9])), sample) == {"shape": False, "texture": True}
    with pytest.raises(NotApplicable, match="own texture"):
        metric.measure(ClassPrediction(torch.tensor([0.1, 0.9])), Sample("a", torch.zeros(3, 4, 4), ClassTarget(0)))


def outcomes(prefix: str, right: int, n: int) -> Column:
    return Column.of({f"{prefix}{k:06}": k < right for k in range(n)}, pyarrow.bool_())


def test_the_error_increase_of_terra_incognita() -> None:
    """Inception-v3, full images: 19.06 % error on cis, 41.04 % on trans, +115 %."""
    made = domain_shift(METRICS.build("top-1", labels=Labels(("a",) * 1)), outcomes("c", 8094, 10000), outcomes("t", 5896, 10000))
    assert made.increase.value == pytest.approx(1.1532, abs=1e-4)
    assert made.gap.value == pytest.approx(0.2198)
    assert made.increase.low < 1.1532 < made.increase.high
    perfect = domain_shift(METRICS.build("top-1"), outcomes("c", 50, 50), outcomes("t", 10, 50))
    assert perfect.increase.value is None
    assert perfect.gap.value == pytest.approx(0.8)


def test_the_interval_of_the_error_increase_holds() -> None:
    rng, held = numpy.random.default_rng(1), 0
    for _ in range(300):
        cis, trans = (outcomes(p, int(rng.binomial(200, 1 - e)), 200) for p, e in (("c", 0.2), ("t", 0.4)))
        made = domain_shift(METRICS.build("top-1"), cis, trans).increase
        held += made.low <= 1.0 <= made.high
    assert 0.92 <= held / 300 <= 0.985


def test_the_counters_of_context_shift() -> None:
    def image(states: list[int], boxes: int) -> dict[str, object]:
        return {"objects": states, "fabricated": 0, "boxes": boxes}

    before = {"a": image([FOUND, FOUND, VANISHED], 3), "b": image([FOUND, MISLABELLED], 2)}
    after = {"a": image([FOUND, VANISHED, VANISHED], 1), "b": image([CLAIMED, VANISHED], 2)}
    made = context_shift(Column.of(after, OBJECTS), Column.of(before, OBJECTS))
    assert made.misses.value == pytest.approx(4 / 2 - 1)
    assert made.false_boxes.value == pytest.approx(2 / 2 - 1)
    assert made.boxes.value == pytest.approx(3 / 5 - 1)
    none = context_shift(Column.of(after, OBJECTS), Column.of({k: image([FOUND], 1) for k in after}, OBJECTS))
    assert none.misses.value is None


def test_a_silhouette_takes_the_texture_of_another_class() -> None:
    data = DATASETS.build("scenes(samples=30, size=64)")
    made = INTERVENTIONS.build("cue-conflict").with_donors(Donors(data))  # type: ignore[attr-defined]
    for k in range(6):
        before = data[k]
        after = made(before, Noise(0, (before.id,)))
        shape = before.regions["object"]
        assert torch.equal(after.image[:, ~shape], before.image[:, ~shape])
        assert not torch.equal(after.image[:, shape], before.image[:, shape])
        assert after.target.label == before.target.label
        assert after.attributes[TEXTURE] != data.labels.names[before.target.label]
        assert after.attributes[TEXTURE] in data.labels.names


def test_tiles_mirror_at_their_edges() -> None:
    image = torch.arange(12.0).reshape(1, 3, 4).expand(3, -1, -1)
    tiled = mirrored_tiles(image, torch.ones(3, 4, dtype=torch.bool), 7, 9)
    assert tiled[0, 0].tolist() == [0, 1, 2, 3, 3, 2, 1, 0, 0]
    assert tiled[0, :, 0].tolist() == [0, 4, 8, 8, 4, 0, 0]


def test_the_background_gap_is_that_of_its_two_conditions(tmp_path: Path) -> None:
    from robustbench_cv.suite_files import find_suite

    suite = find_suite("imagenet9(backgrounds=3)")
    results = run_suite(suite, tmp_path, Options(models=("lenet5.scenes",), data=("scenes(size=48)",), limit=24, strength=0)).results
    (group,) = results.groups()
    gap = results.difference(group, "mixed-same", "mixed-rand", "top-1")
    same, rand = (results.evidence(group, name, "top-1").to_dict() for name in ("mixed-same", "mixed-rand"))
    shared = same.keys() & rand.keys()
    assert gap.n == len(shared)
    assert gap.value == pytest.approx(sum(same[i] - rand[i] for i in shared) / len(shared))
    others = ["mixed-rand", "background 2", "background 3"]
    sides = [results.evidence(group, name, "top-1").to_dict() for name in others]
    everywhere = set.intersection(*(set(side) for side in sides))
    challenge = results.worst_over(group, "top-1", others)
    assert challenge.value == pytest.approx(sum(all(side[i] for side in sides) for i in everywhere) / len(everywhere))
    (table,) = build_items(results, ["background-gap"])
    assert table.frame["backgrounds"].tolist() == [3]  # type: ignore[union-attr]


def test_two_data_sets_give_a_domain_shift(tmp_path: Path) -> None:
    data = ("scenes(bias=1.0, size=48)", "scenes(bias=0.0, size=48)")
    conditions = (CLEAN, Condition("cues", ("cue-conflict",)))
    track = Track("classification", ("lenet5.scenes",), data, conditions, ("top-1", "shape-bias"), 24)
    suite = Suite("shift", 1, (track,), reports=("domain-shift",))
    results = run_suite(suite, tmp_path, Options(strength=0)).results
    (table,) = build_items(results, ["domain-shift"])
    assert table.frame["data"].tolist() == ["scenes-test-b100-s48", "scenes-test-b0-s48"]  # type: ignore[union-attr]
    cis, trans = results.groups()
    assert context_results.between_data_sets(results, cis, trans, "top-1").gap.value > 0.2  # LeNet-5 reads contexts
    assert results.estimate(cis, "cues", "shape-bias").value is not None
