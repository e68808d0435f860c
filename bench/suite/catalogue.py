# SPDX-License-Identifier: MIT
"""Every workload of the suite, in the order of the report."""

ALL = ()
