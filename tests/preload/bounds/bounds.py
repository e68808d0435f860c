# SPDX-License-Identifier: MIT
"""What the drivers in this folder share beyond preload.py, which it makes findable."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from preload import Skip, knobs  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def with_knobs(settings, function, **options):
    """Run function() under these settings: of THP, or those that `options` of Knobs say."""
    try:
        with knobs.Knobs(settings, **options):
            return function()
    except knobs.Unavailable as reason:
        raise Skip(str(reason)) from None
