"""Which mutants a check still takes, one by one; `make trust` keeps the counts.

    python tests/proof/mutation.py              # every exercise, as a table, then each survivor
    python tests/proof/mutation.py 04 look_up   # those of a lesson, or of a name
    python tests/proof/mutation.py 04 variants  # and the variants of these, whose survivors nobody has to list

Survivors that do the same as the right answer are listed, with the reason, in `equivalents.py`.
"""

import sys
import time

import torch
from equivalents import WITHOUT_GRADIENTS, equivalents
from variants import VARIANTS

from course_lib.check.exercises import EXERCISES
from course_lib.check.mutation import SEEDS, drawn, run, seeds_taken


def main() -> None:
    torch.set_num_threads(1)
    words = [word for word in sys.argv[1:] if word != "variants"]
    left = []
    print(f"{'exercise':<22}{'answer':<30}{'mutants':>8}{'killed':>8}{'lucky':>7}{'same':>6}{'holes':>7}{'seconds':>9}")
    for exercise in EXERCISES.values():
        if words and exercise.name not in words and exercise.lesson[:2] not in words:
            continue
        answers = [(exercise.reference, equivalents(exercise.name))]
        if "variants" in sys.argv:
            answers += [(variant, frozenset()) for variant in VARIANTS[exercise.name]]
        for right, known in answers:
            start, name = time.perf_counter(), f"{exercise.name}, {right.__name__}"
            if seeds_taken(exercise, right, drawn(exercise)) < len(SEEDS):
                print(f"{name} is refused as it stands")
                continue
            result = run(exercise, right, known, gradients=exercise.name not in WITHOUT_GRADIENTS, all_seeds=True)
            left += [f"HOLE {name}: {mutant}" for mutant in result.holes]
            left += [f"lucky {name}: {mutant}" for mutant in result.lucky]
            left += [f"STALE {name}: {text}" for text in sorted(result.stale)]
            same = len(result.survivors) - len(result.holes)
            killed = result.count - len(result.survivors) - len(result.lucky)
            counts = f"{result.count:>8}{killed:>8}{len(result.lucky):>7}{same:>6}{len(result.holes):>7}"
            print(f"{exercise.name:<22}{right.__name__:<30}{counts}{time.perf_counter() - start:>9.1f}", flush=True)
    print("\n".join(left))


if __name__ == "__main__":
    main()
