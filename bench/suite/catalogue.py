# SPDX-License-Identifier: MIT
"""Every workload of the suite, in the order of the report."""
import alloc
import micro

ALL = (*micro.ALL, *alloc.ALL)
