"""The contracts that all three tasks share: samples, targets, raw outputs, predictions, the Model and Dataset protocols.

Conventions, everywhere: images are float RGB in [0, 1], never normalised, (3, H, W) alone and (N, 3, H, W) in a batch; boxes are xyxy,
float, absolute pixels; label maps are int64 (H, W) with 255 = ignore; rates are 0-1. N batch, K candidates, C classes, M objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast, runtime_checkable

from robustbench_cv.tasks import Task as Task

if TYPE_CHECKING:  # a report reads these without torch, which takes seconds to load
    import torch
    from torch import Tensor

IGNORE = 255
"""Label of a pixel that is not scored."""

ABSENT = -1
"""Label of an image whose object was removed: no class is right any more."""

Evidence: TypeAlias = Any
"""What a metric keeps of one sample: a small JSON value."""


@dataclass(frozen=True)
class Labels:
    """Class names by index.

    >>> Labels(("car", "boat")).index("boat")
    1
    """

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def numbered(cls, count: int) -> Labels:
        """Stand-ins for a model or data set that names no classes; such labels are matched by position, with a note."""
        return cls(tuple(f"class {i}" for i in range(count)))

    @property
    def are_numbered(self) -> bool:
        return self == Labels.numbered(len(self))

    def index(self, name: str) -> int:
        """Index of `name`; ValueError where there is no such class."""
        return self.names.index(name)


@dataclass(frozen=True, eq=False)
class ClassTarget:
    """The class of the image's main object, or ABSENT after its removal."""

    label: int


@dataclass(frozen=True, eq=False)
class MaskTarget:
    """A label for every pixel: int64 (H, W), 255 = ignore."""

    labels: Tensor


@dataclass(frozen=True, eq=False)
class BoxTarget:
    """Annotated objects of one image: boxes (M, 4), labels (M,), crowd (M,) bool, area (M,) in pixels (of the mask where one is known).

    A crowd entry is a region to ignore, as in COCO: matched detections there are neither right nor wrong.
    masks: bool (M, H, W), the pixels of each object; None where they are not annotated.
    """

    boxes: Tensor
    labels: Tensor
    crowd: Tensor
    area: Tensor
    masks: Tensor | None = None

    @classmethod
    def of(
        cls, boxes: Tensor, labels: Tensor, crowd: Tensor | None = None, area: Tensor | None = None, masks: Tensor | None = None
    ) -> BoxTarget:
        """Fill what is not given: no crowd, area of the box."""
        boxes = boxes.reshape(-1, 4).float()
        if crowd is None:
            import torch

            crowd = torch.zeros(len(boxes), dtype=torch.bool)
        if area is None:
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        return cls(boxes, labels.long(), crowd, area, masks)

    def select(self, keep: Tensor) -> BoxTarget:
        """The objects that `keep` (bool (M,) or indices) names."""
        masks = None if self.masks is None else self.masks[keep]
        return BoxTarget(self.boxes[keep], self.labels[keep], self.crowd[keep], self.area[keep], masks)


Target: TypeAlias = ClassTarget | MaskTarget | BoxTarget


class Compatibility(NamedTuple):
    """How often objects of an edit's classes stand in the context that they stood in, and in the one that they stand in now.

    Normalised pointwise mutual information in [-1, 1], see `metrics.context_association`; None where the data are too few to say.
    """

    before: float | None
    after: float | None


@dataclass(frozen=True, eq=False)
class Edit:
    """What an intervention did to a sample, so that metrics can score it against the unedited image.

    region: bool (H, W), every pixel that may differ. removed: class names of which no object is left.
    before: the target against which the *unedited* image is scored in the pair: what the edit left alone, the rest ignored.
    subject: the objects that the edit is about, there or not, as they were before it: the label (ABSENT where the edit is not about the
    labelled object), their pixels (all others ignored), or their boxes. None: everything that the target names.
    """

    kind: str
    region: Tensor
    before: Target
    removed: frozenset[str] = frozenset()
    share: float | None = None
    """Share of the object's mask that the edit covers, for occlusions."""
    subject: Target | None = None
    moved: bool = False
    """Whether what is the same in both images has another place: `before` and `target` then differ in positions."""
    adds: bool = False
    """Whether `subject` is an object that the edit puts into the image (its placebo: would put), so that `before` lacks it."""
    original: Prediction | None = None
    """What the model says of the unedited image, for metrics that compare its two answers; known only while they measure."""
    compatibility: Compatibility | None = None
    """Of the objects with both contexts; None where the edit swaps none, or where nobody has counted the data set."""


@runtime_checkable
class Editable(Protocol):
    """The description a rendered sample came from: each edit is rendered again, so it is the exact counterfactual.

    `objects` are indices in the order of the sample's `instance:<k>` regions. azimuth: degrees about each object's upright axis.
    """

    @property
    def annotated(self) -> tuple[int, ...]:
        """For each `instance:<k>` a number that names the same object after an edit that takes none away."""
        ...

    def without(self, objects: Sequence[int]) -> Sample: ...
    def in_context(self, context: str) -> Sample: ...
    def turned(self, azimuth: float) -> Sample: ...
    def contexts(self) -> tuple[str, ...]: ...
    def context_only(self, context: str | None = None) -> Sample: ...


@dataclass(frozen=True, eq=False)
class Sample:
    """One image with its annotations and an id that is stable across machines ("coco-val2017/000000000139").

    regions: named bool masks (H, W) that interventions may need. The names are
    "object" (the object that the class label means), "objects" (all annotated objects), "class:<name>" (all of a class),
    "instance:<k>" and, where known, "amodal:<k>" (object k, in the order of the BoxTarget).
    attributes: facts by name, such as {"context": "street"}.
    """

    id: str
    image: Tensor
    target: Target
    regions: Mapping[str, Tensor] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    _: KW_ONLY
    scene: Editable | None = None
    edit: Edit | None = None


ContextKind: TypeAlias = Literal["declared", "surfaces", "classes"]
"""What tells the context of an image, the first that is there: its data, the surfaces that it shows, the classes of its objects."""


class Contents(NamedTuple):
    """What an image shows, in the class names of its data. objects: classes that an object of it has. contexts: what they stand in.

    kind: what told the contexts; None where nothing did. Of kind "classes", those of the objects themselves.
    """

    objects: frozenset[str]
    kind: ContextKind | None
    contexts: frozenset[str]

    @classmethod
    def of(cls, objects: Iterable[str], attributes: Mapping[str, str] = MappingProxyType({}), surfaces: Iterable[str] = ()) -> Contents:
        """Of an image with these objects, what its data say of it, and its surfaces.

        >>> Contents.of(["car"], {"context": "street"}).contexts
        frozenset({'street'})
        """
        shown, named = frozenset(objects), frozenset(surfaces)
        if "context" in attributes:
            return cls(shown, "declared", frozenset({attributes["context"]}))
        if named:
            return cls(shown, "surfaces", named)
        return cls(shown, "classes" if shown else None, shown)


@dataclass(frozen=True, eq=False)
class Logits:
    """Class scores before softmax: (N, C)."""

    values: Tensor


@dataclass(frozen=True, eq=False)
class PixelLogits:
    """Class scores before softmax at the image's own resolution: (N, C, H, W)."""

    values: Tensor


@dataclass(frozen=True, eq=False)
class Proposals:
    """What a region proposal network believes of each of its A anchors, before any is chosen.

    boxes: (N, A, 4) xyxy in image pixels. logit: (N, A), of the probability that there is an object. offsets: (N, A, 4), the regressed
    corrections of the anchors, in the network's own units. boxes carry no gradient.
    """

    boxes: Tensor
    logit: Tensor
    offsets: Tensor


@dataclass(frozen=True, eq=False)
class Candidates:
    """What a detector believes before threshold and non-maximum suppression.

    boxes: (N, K, B, 4) xyxy in image pixels; B = 1, or C where the boxes are regressed per class.
    log_score: (N, K, C), log of the confidence that decode() thresholds. valid: bool (N, K); False is padding.
    features: tensors (N, ...) of which decode() makes more than boxes, such as the maps that masks are drawn from.
    proposals: the first stage's beliefs, of detectors that have one and show it; decode() does not need them.
    """

    boxes: Tensor
    log_score: Tensor
    valid: Tensor
    features: tuple[Tensor, ...] = ()
    proposals: Proposals | None = None


R = TypeVar("R", Logits, PixelLogits, Candidates)
Raw: TypeAlias = Logits | PixelLogits | Candidates


@dataclass(frozen=True, eq=False)
class ClassPrediction:
    """Class probabilities: (C,)."""

    probs: Tensor

    @property
    def label(self) -> int:
        return int(self.probs.argmax())


@dataclass(frozen=True, eq=False)
class PixelProbabilities:
    """Class probabilities at some of the pixels: positions int64 (P,) in the flattened image, values float32 (P, C)."""

    positions: Tensor
    values: Tensor


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """Predicted label of every pixel: int64 (H, W). Values that name no evaluated class (see ClassMap) count as wrong, for no class.

    sampled: how sure the model is of some of the pixels, for calibration; None from models that do not tell.
    """

    labels: Tensor
    sampled: PixelProbabilities | None = None


@dataclass(frozen=True, eq=False)
class BoxPrediction:
    """Detections after threshold and suppression: boxes (D, 4), scores (D,) falling, labels (D,).

    masks: bool (D, H, W), the pixels of each detected object, from models that segment them; else None.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def select(self, keep: Tensor) -> BoxPrediction:
        """The detections that `keep` (bool (D,) or indices) names."""
        masks = None if self.masks is None else self.masks[keep]
        return BoxPrediction(self.boxes[keep], self.scores[keep], self.labels[keep], masks)


Prediction: TypeAlias = ClassPrediction | MaskPrediction | BoxPrediction


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without running it. Users' own models make one, so its fields can be given in order.

    operating_score: the confidence at which a detector's boxes count as reported (hallucination rates, pictures); AP ignores it.
    """

    name: str
    task: Task
    classes: Labels
    weights_sha256: str
    parameters: int = 0
    operating_score: float = 0.25


class Model(Protocol[R]):
    """Pixels in [0, 1] to a differentiable raw output to decoded predictions. Structural: an adapter of yours imports nothing from here."""

    @property
    def info(self) -> ModelInfo: ...

    def raw(self, images: Tensor, /) -> R:
        """Differentiable. images (N, 3, H, W) in [0, 1] on the model's device; resizing and normalisation happen inside."""
        ...

    def decode(self, raw: R, /) -> Sequence[Prediction]:
        """Not differentiable. One prediction an image, on the CPU."""
        ...


AnyModel: TypeAlias = Model[Logits] | Model[PixelLogits] | Model[Candidates]


@runtime_checkable
class HasModule(Protocol):
    """A model whose torch module can be inspected (modes, parameters, buffers) and moved to a device."""

    @property
    def module(self) -> torch.nn.Module: ...


def predict(model: AnyModel, images: Tensor) -> list[Prediction]:
    """decode(raw(images)), without gradients. There is no other path to a prediction (S12)."""
    import torch

    known = cast("Model[Any]", model)
    with torch.no_grad():
        return list(known.decode(known.raw(images)))


class Dataset(Protocol):
    """Samples by position, for one task. Reading one may raise BadSample; `fingerprint` changes when its bytes or annotations do."""

    @property
    def name(self) -> str: ...
    @property
    def task(self) -> Task: ...
    @property
    def labels(self) -> Labels: ...
    @property
    def ids(self) -> Sequence[str]: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Sample: ...
    def fingerprint(self, index: int, /) -> str: ...


@runtime_checkable
class NamesRegions(Protocol):
    """A data set whose regions "class:<name>" are of other classes than its labels: it says of which."""

    @property
    def region_classes(self) -> tuple[str, ...]: ...


@runtime_checkable
class KnowsContents(Protocol):
    """A data set that tells what a sample shows without decoding its image."""

    def contents(self, index: int, /) -> Contents: ...
