"""Measure what comparing two samples of features costs, and how far random features are from the exact MMD^2.

    python -m benchmarks.bench_mmd [--features F] [--threads N] [--long]

Each case runs in a fresh process, so that its peak memory is its own (samples and imports included). Prints a table and
writes it to docs/results/mmd.md. ``--long`` adds the exact MMD^2 of 100,000 patches a side: minutes.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_run
from benchmarks.tables import to_markdown
from neuroadda.cli.console import print_table
from neuroadda.domains.baselines import classifier_auc, frechet_distance
from neuroadda.domains.inference import bootstrap_interval, permutation_test
from neuroadda.domains.kernel import FREQUENCIES
from neuroadda.domains.mmd import median_bandwidth, mmd2, spread_bandwidths
from neuroadda.wording import format_bytes

RESULTS = Path(__file__).parents[1] / "docs" / "results" / "mmd.md"
SEEDS = 5  # of random features, for their error
CELLS = 64  # spatial blocks a sample

Case = Callable[[np.ndarray, np.ndarray, float], list[float]]

CASES: dict[str, tuple[int, Case]] = {
    "median bandwidth": (100_000, lambda x, y, s: [median_bandwidth(x, y)]),
    "MMD^2, random features": (100_000, lambda x, y, s: [mmd2(x, y, s, method="random_features")]),
    "MMD^2, random features, between blocks": (
        100_000,
        lambda x, y, s: [mmd2(x, y, s, x_blocks=_cells(x), y_blocks=_cells(y), method="random_features")],
    ),
    "MMD^2, random features, 5 bandwidths": (
        100_000,
        lambda x, y, s: [mmd2(x, y, spread_bandwidths(s), method="random_features")],
    ),
    "MMD^2, exact": (20_000, lambda x, y, s: [mmd2(x, y, s, method="exact")]),
    f"MMD^2, random features, {SEEDS} seeds": (
        20_000,
        lambda x, y, s: [mmd2(x, y, s, method="random_features", seed=i) for i in range(SEEDS)],
    ),
    "MMD^2, exact, 5 bandwidths": (20_000, lambda x, y, s: [mmd2(x, y, spread_bandwidths(s), method="exact")]),
    f"MMD^2, random features, 5 bandwidths, {SEEDS} seeds": (
        20_000,
        lambda x, y, s: [mmd2(x, y, spread_bandwidths(s), method="random_features", seed=i) for i in range(SEEDS)],
    ),
    "1,000 permutations of patches": (2_000, lambda x, y, s: [permutation_test(x, y, s)]),
    "1,000 permutations of blocks": (
        2_000,
        lambda x, y, s: [permutation_test(x, y, s, x_blocks=_cells(x), y_blocks=_cells(y))],
    ),
    "bootstrap interval, 2,000 resamples": (
        2_000,
        lambda x, y, s: list(bootstrap_interval(x, y, _cells(x), _cells(y), s)),
    ),
    "Frechet distance": (2_000, lambda x, y, s: [frechet_distance(x, y)]),
    "classifier AUC": (2_000, lambda x, y, s: [classifier_auc(x, y, _cells(x), _cells(y))]),
}
LONG: dict[str, tuple[int, Case]] = {
    "MMD^2, exact, for comparison": (100_000, lambda x, y, s: [mmd2(x, y, s, method="exact")])
}


def run_case(name: str, features: int) -> dict:
    """Run one case in this process: ``{seconds, cpu, values, peak}``."""
    n, case = {**CASES, **LONG}[name]
    x, y = _draw_sample(0, n, features, 0.0), _draw_sample(1, n, features, 0.3)
    bandwidth = median_bandwidth(x[:1000], y[:1000])
    started, cpu_started = time.perf_counter(), time.process_time()
    values = case(x, y, bandwidth)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "cpu": cpu, "values": values, "peak": peak}


def measure(features: int, threads: int, long: bool) -> list[dict[str, str]]:
    """Run every case in its own process; return the table's rows."""
    environment = {**os.environ, **{f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL")}}
    cases = {**CASES, **(LONG if long else {})}
    rows, exact = [], 0.0
    for name, (n, _) in cases.items():
        command = [sys.executable, "-m", "benchmarks.bench_mmd", "--case", name, "--features", str(features)]
        told = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(told)
        values = np.array(found["values"])
        shown = ", ".join(f"{v:.4g}" for v in values[:2])
        if "seeds" in name:
            error = np.abs(values / exact - 1)
            shown = f"{values.mean():.4g}; off the exact by {np.sqrt((error**2).mean()):.1%} (rms), {error.max():.1%} (most)"
            found["seconds"], found["cpu"] = found["seconds"] / len(values), found["cpu"] / len(values)
        exact = values[0] if "exact" in name else exact
        rows.append(
            {
                "what": name,
                "patches a side": f"{n:,}",
                "seconds": f"{found['seconds']:.2f}",
                "CPU seconds": f"{found['cpu']:.2f}",
                "peak memory": format_bytes(found["peak"]),
                "value": shown,
            }
        )
        print_table(name, [rows[-1]])
    return rows


def write_results(rows: list[dict[str, str]], features: int, threads: int, long: bool) -> None:
    """Write the table as Markdown."""
    RESULTS.write_text(
        f"""# MMD: time, memory, error

{features} features of decaying variance, the first shifted by 0.3 of its deviation; one bandwidth, the median, but where said;
random features are {FREQUENCIES:,} frequencies; {CELLS} spatial blocks a sample. Each case in a fresh process: its peak memory
is of the whole process, with both samples and the imports. Where a case has {SEEDS} seeds, seconds are of one.
Others worked on the same cores, so CPU seconds stand beside the clock's.

{describe_run(f"{threads} threads, no GPU")}

{to_markdown(rows[0], (row.values() for row in rows))}
""",
        encoding="utf-8",
    )


def _draw_sample(seed: int, n: int, features: int, shift: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    sample = rng.standard_normal((n, features), dtype=np.float32)
    sample[:, 0] += np.float32(shift)
    sample *= np.arange(1, features + 1, dtype=np.float32) ** np.float32(-0.5)
    return sample


def _cells(sample: np.ndarray) -> np.ndarray:
    return np.arange(len(sample)) * CELLS // len(sample)


def main() -> None:
    """Measure and write, or (in a child process) run one case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(run_case(options.case, options.features)))
        return
    rows = measure(options.features, options.threads, options.long)
    write_results(rows, options.features, options.threads, options.long)


if __name__ == "__main__":
    main()
