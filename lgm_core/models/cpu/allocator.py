"""Let a process keep the memory it frees, so that the next step need not wait for cleared pages."""

from __future__ import annotations

import ctypes

# Numbers of glibc's mallopt: where large blocks come from, and when freed ones go back to the system.
_MMAP_MAX = -4
_TRIM_THRESHOLD = -1
_NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for the next step of the same size.

    glibc gives every block above 32 MiB back to the system when it is freed; the next step then waits for
    the same pages to be cleared again, which is up to half of its time on a CPU.

    Returns:
        Whether the C library could be told; another one than glibc is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))
