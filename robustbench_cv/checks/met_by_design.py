"""Mistakes that need no check while a run goes on: a rule of the product makes each impossible, or visible, and a test holds the rule."""

from __future__ import annotations

from typing import NamedTuple


class Met(NamedTuple):
    """mistake: what goes wrong elsewhere. mechanism: what prevents it here. test: "file::function" under tests/."""

    id: str
    mistake: str
    mechanism: str
    test: str


MET_BY_DESIGN = (
    Met(
        "S16",
        "the results of several attacks are averaged, instead of taking each sample's worst",
        "Outcomes are stored by sample, and the worst case is formed sample by sample: a sample counts where it survives every attack.",
        "test_metrics_robust.py::test_the_worst_case_is_taken_per_sample_and_never_averaged",
    ),
    Met(
        "S18",
        "an attack or a metric goes by the model's own predictions in place of the labels",
        "What an attack is judged against (annotations, own detections) is a field of its result; metrics are of the annotations alone.",
        "test_met_by_design.py::test_an_attack_is_judged_by_the_labels_and_says_so",
    ),
    Met(
        "S20",
        "classes are left out, or several read as one, and nobody says so",
        "Classes meet by name, one without a partner is refused, and the map (omissions included) is printed before a run and reported.",
        "test_class_map.py::test_missing_classes_are_listed_with_the_closest_names_and_the_way_out",
    ),
    Met(
        "S24",
        "-1 or NaN, which mean undefined, enter a mean",
        "A metric of nothing raises, and becomes an empty cell with a reason; outputs that are not finite are recorded as failed.",
        "laws/test_metrics.py::test_nothing_is_undefined_not_zero",
    ),
    Met(
        "S28",
        "the pixels of a corruption differ from those of another version or machine",
        "Every corruption at every severity has a golden hash, and a change of a pixel raises the version of the suite.",
        "test_corruptions.py::test_golden_hashes",
    ),
    Met(
        "S29",
        "random numbers depend on the order of the samples, the batch or the workers",
        "Every draw comes from a generator of the run's seed, the sample's id and the purpose; the global ones are not touched.",
        "test_noise.py::test_a_sample_draws_the_same_alone_and_in_any_batch",
    ),
    Met(
        "S30",
        "two models are compared on different samples",
        "A run keeps its samples' ids; comparisons are paired by id, and runs of other samples, seeds or versions are refused by name.",
        "test_compare.py::test_runs_of_other_protocols_are_refused_by_name_and_compared_in_part",
    ),
    Met(
        "S31",
        "a resumed run takes up results of another model, of other data or of other code",
        "The key of a cell is a hash of weights, data, condition, seed and code, so that what changed is computed again.",
        "test_runner.py::test_a_change_redoes_exactly_what_it_touches",
    ),
    Met(
        "S33",
        "what a removal leaves behind (a patch, a seam) is taken for the effect of the context",
        "Every edit of a suite gets its placebo, effects are shown less the placebo's, and a pixel changed outside the region is an error.",
        "test_suite.py::test_every_intervention_of_a_suite_gets_its_control",
    ),
    Met(
        "S35",
        "a budget is spent at the network's input size, or on a letterbox's padding, and quoted for the image",
        "Resizing and letterboxing lie inside the model, so that attacks see, change and measure the image's own pixels alone.",
        "test_met_by_design.py::test_a_budget_is_of_the_images_own_pixels_whatever_size_the_network_sees",
    ),
    Met(
        "S36",
        "noise is read as an improvement",
        "Every number has an interval, few samples carry a caution, and a comparison that n cannot decide is inconclusive, not a gain.",
        "test_compare.py::test_a_small_drop_passes_with_enough_samples_and_is_inconclusive_with_few",
    ),
)
"""Of the mistakes S01 to S36, those without a check of their own."""
