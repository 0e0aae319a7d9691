"""Transfer: on itself it is the white box; classes go by name; the victim gives away nothing but verdicts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robustbench_cv.adversary import Ensemble, run
from robustbench_cv.adversary.combinators.transfer import surrogates, with_surrogates
from robustbench_cv.catalogue import ATTACKS
from robustbench_cv.errors import UserError
from robustbench_cv.models.build import build
from robustbench_cv.types import Labels, Logits, predict
from tests.adversary_models import MODELS, TinyClassifier, classifier, detector, images, noise, targets

HERE = Path(__file__).parent
WHITE = {"classification": "pgd(eps=4/255, steps=5)", "segmentation": "seg-pgd(steps=5)", "detection": "tog-vanish(steps=5)"}


def ready(spec: str) -> Any:
    """The attack with its surrogate built, as a run plans it."""
    return with_surrogates(ATTACKS.build(spec), build)


def spec_of(task: str, attack: str | None = None, arguments: str = "stop=True") -> str:
    names = {"classification": "classifier", "segmentation": "segmenter", "detection": "detector"}
    return f"transfer(source='{HERE / 'adversary_models.py'}:{names[task]}', attack={attack or WHITE[task]!r}, {arguments})"


@pytest.mark.parametrize("task", list(MODELS))
def test_with_the_victim_as_its_own_surrogate_it_is_the_white_box_attack(task: str) -> None:
    model, x0 = MODELS[task](), images(6)
    truth = targets(model, x0)
    white = run(ATTACKS.build(WHITE[task]), model, x0, truth, noise(6))
    black = run(ready(spec_of(task)), model, x0, truth, noise(6))
    assert torch.equal(black.images, white.images)
    assert torch.equal(black.success, white.success)
    torch.testing.assert_close(black.degree, white.degree)
    assert torch.equal(black.size, white.size)
    assert torch.equal(black.backwards, white.backwards)
    assert black.reference == white.reference
    # The victim saw each image once, and the clean one where its own detections are the reference.
    assert (black.forwards == 1 + (task == "detection")).all()
    assert not torch.equal(black.images, x0)


class Detached(TinyClassifier):
    def raw(self, images: Tensor, /) -> Logits:
        assert not torch.is_grad_enabled()
        return Logits(super().raw(images).values.detach())


def test_a_victim_without_a_gradient_is_broken_through_its_twin_and_a_stranger_does_worse() -> None:
    whole, x0 = classifier(), images(12)
    truth = targets(whole, x0)
    attack = "mi-fgsm(eps=4/255)"
    hidden = run(ready(spec_of("classification", attack)), Detached(whole.module, whole.info), x0, truth, noise(12))
    white = run(ATTACKS.build(attack), whole, x0, truth, noise(12))
    assert torch.equal(hidden.success, white.success)
    assert hidden.success.any()
    other = classifier(seed=5)
    stranger = run(ready(spec_of("classification", attack)), other, x0, targets(other, x0), noise(12))
    assert stranger.success.sum() < white.success.sum()


def test_all_steps_are_taken_unless_it_is_to_stop() -> None:
    model, x0 = classifier(), images(6)
    truth = targets(model, x0)
    full = run(ready(spec_of("classification", arguments="stop=False")), model, x0, truth, noise(6))
    short = run(ready(spec_of("classification")), model, x0, truth, noise(6))
    assert (full.backwards == 5).all()
    assert (short.backwards < 5).any()


def renamed(model: Any, names: tuple[str, ...]) -> Any:
    return dataclasses.replace(model, info=dataclasses.replace(model.info, classes=Labels(names)))


def test_classes_go_by_name(tmp_path: Path) -> None:
    """The surrogate counts the classes the other way round: its last layer is turned over, and so are its names."""
    (tmp_path / "turned.py").write_text(
        "import dataclasses, torch\n"
        "from robustbench_cv.types import Labels\n"
        "from tests.adversary_models import classifier\n"
        "def build(flip=True):\n"
        "    model = classifier()\n"
        "    names = ('a', 'b', 'c', 'd', 'e')\n"
        "    if flip:\n"
        "        with torch.no_grad():\n"
        "            for p in model.module[-1].parameters(): p.copy_(p.flip(0).clone())\n"
        "    names = names[::-1] if flip else names[:4] + ('z',)\n"
        "    return dataclasses.replace(model, info=dataclasses.replace(model.info, classes=Labels(names)))\n"
    )
    model, x0 = renamed(classifier(), ("a", "b", "c", "d", "e")), images(6)
    truth = targets(model, x0)
    spec = f"transfer(source='{tmp_path / 'turned.py'}:build', attack='pgd(eps=4/255, steps=5)', stop=True)"
    turned = run(ready(spec), model, x0, truth, noise(6))
    white = run(ATTACKS.build("pgd(eps=4/255, steps=5)"), model, x0, truth, noise(6))
    torch.testing.assert_close(turned.images, white.images, atol=1e-6, rtol=0)
    assert torch.equal(turned.success, white.success)
    with pytest.raises(UserError, match=r"has other classes than the model.*e"):
        run(ready(spec.replace("build'", "build(flip=False)'")), model, x0, truth, noise(6))


def test_a_surrogate_with_more_classes_is_refused() -> None:
    model, x0 = classifier(classes=4), images(2)
    with pytest.raises(UserError, match="surrogate"):
        run(ready(spec_of("classification")), model, x0, targets(model, x0), noise(2))


def test_where_the_surrogate_sees_nothing_the_clean_image_is_judged(tmp_path: Path) -> None:
    (tmp_path / "blind.py").write_text("from tests.adversary_models import detector\ndef build():\n    return detector(bias=-60.0)\n")
    model, x0 = detector(), images(3)
    attack = ready(f"transfer(source='{tmp_path / 'blind.py'}:build', attack='tog-vanish')")
    result = run(attack, model, x0, targets(model, x0), noise(3))
    assert torch.equal(result.images, x0)
    assert not result.success.any()
    assert (result.forwards == 2).all()


def test_a_sample_alone_fares_as_in_its_batch() -> None:
    model, x0 = classifier(seed=2), images(5)
    truth = targets(model, x0)
    together = run(ready(spec_of("classification")), model, x0, truth, noise(5))
    alone = run(ready(spec_of("classification")), model, x0[3:4], truth[3:4], noise(5).select([3]))
    torch.testing.assert_close(alone.images[0], together.images[3], atol=1e-5, rtol=0)


def test_nan_of_the_victim_fails_the_sample_and_nan_of_the_surrogate_does_not() -> None:
    class Sick(TinyClassifier):
        def raw(self, images: Tensor, /) -> Logits:
            return Logits(super().raw(images).values.where(images[:, :1, 0, 0] > 0.3, torch.nan))

    whole, x0 = classifier(), images(3).clamp(0.4, 1)
    x0[1, :, 0, 0] = 0.0
    truth = targets(whole, x0)
    result = run(ready(spec_of("classification")), Sick(whole.module, whole.info), x0, truth, noise(3))
    assert list(result.failed) == [1]
    assert torch.equal(result.images[1], x0[1])


def test_success_is_recomputed_on_the_victim() -> None:
    model, x0 = classifier(seed=9), images(8)
    truth = targets(model, x0)
    result = run(ready(spec_of("classification", "pgd(eps=8/255)")), model, x0, truth, noise(8))
    assert result.success.tolist() == [p.label != t.label for p, t in zip(predict(model, result.images), truth, strict=True)]  # type: ignore[union-attr]
    assert not result.success.all()


def test_a_search_builds_no_model() -> None:
    model, x0 = classifier(), images(2)
    with pytest.raises(UserError, match=r"adversary_models.py:classifier' is not built.*with_surrogates\(attack"):
        run(ATTACKS.build(spec_of("classification")), model, x0, targets(model, x0), noise(2))


def test_every_surrogate_is_put_in_place_once_wherever_it_stands() -> None:
    plain, transferred = ATTACKS.build(WHITE["classification"]), ATTACKS.build(spec_of("classification"))
    other = dataclasses.replace(transferred, source="other")
    whole: Any = Ensemble("both", (plain, transferred, other))
    asked: list[str] = []

    def of(spec: str) -> Any:
        asked.append(spec)
        return classifier()

    assert with_surrogates(plain, of) is plain
    made = with_surrogates(whole, of)
    assert asked == list(surrogates(whole)) == [transferred.source, "other"]
    assert [getattr(part, "surrogate", None) is not None for part in made.parts] == [False, True, True]
    assert made == whole
    assert whole.parts[1].surrogate is None
    assert with_surrogates(made, of).parts[1].surrogate is made.parts[1].surrogate


def test_unknown_names_are_refused_at_once() -> None:
    with pytest.raises(UserError, match="did you mean 'pgd'"):
        ATTACKS.build("transfer(source='lenet5.scenes', attack='pdg')")
