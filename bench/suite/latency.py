# SPDX-License-Identifier: MIT
"""Percentiles of latencies, as all servers' loads report them."""

PERCENTILES = {"p50_s": 0.5, "p99_s": 0.99, "p999_s": 0.999}


def percentiles(taken_s):
    """{figure: seconds}. A percentile that no sample would lie above is left out."""
    taken = sorted(taken_s)
    return {figure: taken[int(len(taken) * share)] for figure, share in PERCENTILES.items()
            if len(taken) * (1 - share) >= 1}
