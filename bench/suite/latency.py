# SPDX-License-Identifier: MIT
"""Percentiles of latencies, as all servers' loads report them."""
import math

PERCENTILES = {"p50_s": 0.5, "p99_s": 0.99, "p999_s": 0.999}


def percentiles(taken_s):
    """{figure: seconds} by the nearest rank. A percentile that no sample lies above is left out."""
    taken = sorted(taken_s)
    ranks = {figure: math.ceil(round(len(taken) * share, 6))
             for figure, share in PERCENTILES.items()}
    return {figure: taken[rank - 1] for figure, rank in ranks.items() if 0 < rank < len(taken)}
