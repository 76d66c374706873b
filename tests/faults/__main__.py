"""All fault trials, with a table of their outcomes.

python -m tests.faults                     # some twenty minutes on two cores
python -m tests.faults --share 0.1 --workers 4
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults import trials
from tests.faults.lab import Lab

COUNTS = {trials.kill: 50, trials.stop: 20, trials.stop_twice: 10, trials.fill_disk: 20, trials.damage: 200}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials of each kind, 0..1")
    parser.add_argument("--workers", type=int, default=2, help="trials at a time")
    arguments = parser.parse_args()
    start, failures = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.workers) as pool:
        lab = Lab(Path(folder))
        trials.stopped_half_way(lab)
        print("| fault | outcome | count |\n|---|---|---|")
        for trial, count in COUNTS.items():
            runs = [pool.submit(trial, lab, seed) for seed in range(max(1, round(count * arguments.share)))]
            outcomes: Counter[str] = Counter()
            for run in runs:
                try:
                    outcomes[run.result()] += 1
                except AssertionError as error:
                    failures.append(f"{trial.__name__}: {error}")
                    print(failures[-1], file=sys.stderr, flush=True)
                    outcomes["BROKEN PROMISE"] += 1
            for outcome, times in sorted(outcomes.items()):
                print(f"| {trial.__name__} | {outcome} | {times} |", flush=True)
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
