"""Linear Gradient Matching. `lgm_core.load_distilled(folder)` reads a set; the rest is in the modules."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lgm_core.export import load_distilled as load_distilled


def __getattr__(name: str) -> Any:
    # Importing the package stays cheap, and no stage depends on what it does not use.
    if name == "load_distilled":
        import importlib

        return getattr(importlib.import_module("lgm_core.export"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
