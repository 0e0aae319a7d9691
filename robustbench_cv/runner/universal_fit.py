"""Attacks that are fitted before they are judged: once for each model, data set and attack, never on samples that are judged."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from robustbench_cv.adversary.universal import files
from robustbench_cv.adversary.universal.fitting import FittedTheta, fit
from robustbench_cv.adversary.universal.universal_attack import UniversalAttack
from robustbench_cv.catalogue import ATTACKS, DATASETS
from robustbench_cv.data.class_map import ClassMap
from robustbench_cv.errors import NotApplicable, UserError
from robustbench_cv.foreign_errors import calling, read_sample
from robustbench_cv.registry import Spec
from robustbench_cv.run_folder import ARTEFACT, Storage
from robustbench_cv.runner import supervisor_messages
from robustbench_cv.runner.changed_inputs import require_same_samples
from robustbench_cv.runner.dependencies import DependencyReader, built_with_code
from robustbench_cv.runner.planned_cells import FitPlan
from robustbench_cv.types import Dataset, Labels, Model, Sample

if TYPE_CHECKING:
    from robustbench_cv.run_folder import RunFolder
    from robustbench_cv.runner.planned_cells import Options, Pair
    from robustbench_cv.suite import Condition

logger = logging.getLogger(__name__)

NAMED = 5
"""So many of the overlapping ids are spelled out."""


def plan_fit(pair: Pair, condition: Condition, seed: int, options: Options, reader: DependencyReader) -> FitPlan | None:
    """None for an attack that needs no fit. UserError (S34) where a sample of the run is among those that theta is fitted on."""
    if condition.attack is None or not _may_be_shared(condition.attack):
        return None
    spec = condition.attack
    attack, attack_code = built_with_code(reader, lambda: ATTACKS.build(spec))
    if not isinstance(attack, UniversalAttack):
        return None
    if attack.theta is not None:
        _require_apart(attack.name, attack.fitted_on, pair)
        given = [attack.fit_facts(), attack.theta.flatten().tolist(), attack.fitted_on]
        return FitPlan(attack=attack, facts=given)
    (data, indices), data_code = built_with_code(reader, lambda: _training_data(attack, pair))
    _require_apart(attack.name, [data.ids[i] for i in indices], pair)
    class_map = ClassMap.match(data.labels, Labels(pair.row.classes), options.class_map or {})
    engine = reader.of([fit.__module__, __name__])
    code = engine | attack_code | data_code | pair.code
    common = [code.sha256, options.device.partition(":")[0], seed]
    fingerprints = tuple(data.fingerprint(i) for i in indices)
    samples = [[data.ids[i], fingerprint] for i, fingerprint in zip(indices, fingerprints, strict=True)]
    facts: list[Any] = [attack.fit_facts(), pair.identity, samples, class_map.key(), *common]
    return FitPlan(attack=attack, facts=facts, data=data, indices=indices, fingerprints=fingerprints, class_map=class_map)


def fit_once(folder: RunFolder, plan: FitPlan, pair: Pair, seed: int, options: Options) -> UniversalAttack[Any]:
    """The attack with its theta: from the run folder where it is there, else fitted now and kept there."""
    data, class_map = plan.data, plan.class_map
    if data is None or class_map is None:
        return plan.attack
    provenance = {"model": pair.row.name, "weights_sha256": pair.row.weights_sha256, "data": data.name, "seed": seed}

    def make() -> FittedTheta:
        samples = _samples(data, plan.indices, class_map)
        whose = f"fitting {plan.attack.name} on model {pair.row.name!r}"
        with supervisor_messages.step("fit", whose), calling(whose, lambda: True):
            theta = fit(plan.attack, cast("Model[Any]", pair.model), samples, seed=seed, device=options.device)
        require_same_samples(data, plan.indices, plan.fingerprints)
        return theta

    storage: Storage[FittedTheta, UniversalAttack[Any]] = Storage(
        write=lambda path, theta: files.write_fitted(path, plan.attack, theta, provenance), read=lambda path: _fitted_in(path, plan.attack)
    )
    return folder.remember(ARTEFACT, plan.facts, storage, make)


def is_damaged(folder: RunFolder, plan: FitPlan) -> bool:
    """Whether what the attack was fitted to lies in the folder, and cannot be read; a warning where it does."""
    path = folder.root / ARTEFACT.format(key=plan.key[:32])
    return plan.data is not None and path.is_dir() and _fitted_in(path, plan.attack) is None


def _fitted_in(path: Path, attack: UniversalAttack[Any]) -> UniversalAttack[Any] | None:
    """The attack with the theta that lies there; None where none does, or where its files are damaged, with a warning."""
    try:
        return files.read_fitted(path, attack)
    except UserError as error:
        logger.warning("%s is damaged (%s): taken as missing", path, error)
        return None


def _may_be_shared(spec: str) -> bool:
    """Without building what need not be built: by the entry's `fitted` fact; a user's own file may hold anything."""
    name = Spec.parse(spec).name
    return name.endswith(".py") or bool(ATTACKS.entry(name).facts.get("fitted"))


def _training_data(attack: UniversalAttack[Any], pair: Pair) -> tuple[Dataset, tuple[int, ...]]:
    wanted, most = attack.training.data, attack.training.limit * attack.training.scan
    if wanted == "auto":
        judged = Spec.parse(pair.dataset_row.spec)
        if "split" not in inspect.signature(DATASETS.factory(judged)).parameters:
            judged_here = set(pair.indices)
            rest = tuple(i for i in range(len(pair.dataset)) if i not in judged_here)[:most]
            if not rest:
                raise UserError(
                    f"attack {attack.name!r} is fitted on samples that it is not judged on, and this run judges on all of "
                    f"{pair.dataset_row.name!r}: give it others with fit='...', or leave some out with --limit"
                )
            return pair.dataset, rest
        wanted = str(Spec(judged.name, {**judged.args, "split": "train"}, judged.target))
    more = {"task": pair.row.task} | ({} if "samples" in Spec.parse(wanted).args else {"samples": most})
    data = DATASETS.build(wanted, **more)
    if data.task != pair.row.task:
        raise UserError(f"fit={wanted!r} is data for {data.task}, this model is for {pair.row.task}")
    return data, tuple(range(min(len(data), most)))


def _samples(data: Dataset, indices: tuple[int, ...], class_map: ClassMap) -> Iterator[Sample]:
    for i in indices:
        try:
            yield class_map.sample(read_sample(data, i))
        except NotApplicable:
            continue


def _require_apart(name: str, fitted_on: tuple[str, ...] | list[str], pair: Pair) -> None:
    judged = {pair.dataset.ids[i] for i in pair.indices}
    shared = [id_ for id_ in fitted_on if id_ in judged]
    if shared:
        some = ", ".join(shared[:NAMED]) + (f" and {len(shared) - NAMED} more" if len(shared) > NAMED else "")
        raise UserError(
            f"S34: attack {name!r} is fitted on samples that it would be judged on: {some}. A patch that has seen its test images proves "
            "nothing: fit it on another split with fit='...'"
        )
