"""How often the interval of the context index holds the truth: `python -m tests.benchmarks.context_coverage`.

Made-up images in which recall rests on the object, on the context, or on neither, and placebos harm a few (see
tests/test_context_index.py).
"""

from __future__ import annotations

import argparse

import numpy

from tests.test_context_index import index, world

WORLDS = ((0.6, 0.1), (0.4, 0.4), (0.15, 0.6), (0.3, 0.0))
SIZES = (50, 100, 300)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=2000)
    asked = parser.parse_args()
    print("| rests on the object, on the context | n | truth | covers | below | above | mean width | no index |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for object_part, context_part in WORLDS:
        truth = context_part / (object_part + context_part)
        for n in SIZES:
            rng = numpy.random.default_rng(n)
            made = [index(world(rng, n, object_part, context_part)).context_index for _ in range(asked.repetitions)]
            there = [e for e in made if e.value is not None]
            below, above = (float(numpy.mean(side)) for side in ([e.high < truth for e in there], [e.low > truth for e in there]))
            width = float(numpy.mean([e.high - e.low for e in there]))
            print(
                f"| {object_part:.0%}, {context_part:.0%} | {n} | {truth:.3f} | {1 - below - above:.1%} | {below:.1%} | {above:.1%} | "
                f"{width:.3f} | {1 - len(there) / len(made):.1%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
