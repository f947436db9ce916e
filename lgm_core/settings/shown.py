"""How many classes pictures show of a data set that has many."""

from __future__ import annotations

MOST_CLASSES = 10


def shown_classes(count: int) -> list[int]:
    """Numbers of the classes that pictures show: all, or as many as fit, evenly spaced."""
    shown = min(count, MOST_CLASSES)
    return [number * count // shown for number in range(shown)]
