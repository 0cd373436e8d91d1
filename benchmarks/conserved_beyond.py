"""A pendulum's energy from pictures, beyond the energies that training sees, by a ResNet.

    python benchmarks/conserved_beyond.py [--seeds 0 1 2 3 4] [--jobs 2] [--results FILE]
                                          [--docs FOLDER]

The conditions of `benchmarks/conserved_pictures.py` in which energies are left out at both ends,
with the network of the published study, a ResNet-18 with the stem of large images, at a quarter
of its width, beside the perceptron's figures, which are read from that benchmark's results.

Every condition is a process on one thread, all seeds one after the other. Figures are written to
benchmarks/results/conserved_beyond.json as soon as they are there, and not measured again. Once
all are, docs/conserved_beyond.md is written.
"""

from __future__ import annotations

import json
from typing import Any

import runs
from conserved_conditions import ALL, TRIALS
from conserved_pictures import LEAST_EPOCHS, SELF, TOLD, Work, carry_out, over_seeds

RESNET = {"encoder": "resnet18", "stem": "imagenet", "width": 0.25}
BEYOND = ("range-0.1", "range-0.2", "range-0.3")


def describe(options: Any, results: runs.Results) -> str:
    """The text of docs/conserved_beyond.md."""
    seeds = " ".join(map(str, options.seeds))
    perceptron = runs.Results(runs.ROOT / "benchmarks" / "results" / "conserved_pictures.json")
    head = ["training sees", "method", "published ResNet-18", "twofold, ResNet-18 / 4"]
    head += ["twofold, perceptron"]
    rows = []
    for name in BEYOND:
        for place, (method, words) in enumerate(((SELF, "without labels"), (TOLD, "the energy"))):
            found = [it.done.get(Work(name, method, seeds)) for it in (results, perceptron)]
            figures = [over_seeds(one["spearman"][ALL]) if one else "" for one in found]
            published = TRIALS[name].published[ALL][place]
            rows.append([TRIALS[name].words, words, f"{published:.4f}", *figures])
    return "\n".join(
        [
            "# Beyond the energies that training sees",
            "",
            "From pictures of pendulums whose energies leave out both ends of the range, one "
            "number is learned, and judged by its rank correlation with the energy over pictures "
            "of all of them, from rest to the top: without labels by "
            "[`conserved_unfolded`](trajectories.md), or from the energy itself.",
            "",
            "The network is the published study's (github.com/califyn/rsi-2021), a ResNet-18, at "
            f"a quarter of its width, and for {LEAST_EPOCHS} epochs where the study has 100. "
            "Beside it stands the perceptron of [all conditions](conserved_pictures.md), which is "
            f"several times cheaper. Mean over {len(options.seeds)} seeds, 95 % interval (t over "
            "seeds), and the least.",
            "",
            *runs.table(head, rows),
            "",
            f"{results.made_by}; all figures are in `benchmarks/results/conserved_beyond.json`.",
            "",
            "Written by `benchmarks/conserved_beyond.py`.",
            "",
        ]
    )


def main() -> None:
    """Measures what is missing, and writes the page once nothing is."""
    parser = runs.arguments("conserved_beyond")
    parser.set_defaults(seeds=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    if options.work:
        runs.carry_out_here(lambda: carry_out(Work(*json.loads(options.work)), RESNET))
        return
    seeds = " ".join(map(str, options.seeds))
    results = runs.Results(options.results)
    works = [Work(trial, method, seeds) for trial in BEYOND for method in (SELF, TOLD)]
    results.measure(__file__, works, options.jobs)
    runs.write_page(describe(options, results), options.docs / "conserved_beyond.md")


if __name__ == "__main__":
    main()
