"""Shared by all tests: checked shapes, one thread, the embedded suite's settings, a tiny frozen backbone."""

from __future__ import annotations

import copy
import pkgutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook
from ruamel.yaml import YAML
from torch import nn

ROOT = Path(__file__).resolve().parent.parent

# A package's name stands for all that is in it; without the walk over syntax trees, a call for every node.
_FOUND = pkgutil.walk_packages([str(ROOT / "lgm_core")], "lgm_core.")
_MODULES = {module.name for module in _FOUND if not module.ispkg} - {"lgm_core.foundation.code"}
install_import_hook(sorted(_MODULES), "type_checks.check_types")
torch.set_num_threads(1)
# A shell that starts the tests in the background has Ctrl-C ignored, and their processes would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# The same examples every time, on fast and slow machines alike.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None, max_examples=60)
settings.load_profile("repeatable")

# The hook must be there first.
from settings.suite_values import left_out  # noqa: E402

from lgm_core.models.frozen import FrozenBackbone  # noqa: E402
from lgm_core.settings.method import MethodSettings  # noqa: E402
from lgm_core.settings.params import Params, parse_params  # noqa: E402


def _merged(base: Any, changes: Any) -> Any:
    """`base` with `changes` laid over it, mapping into mapping; anything else, and {}, replaces it."""
    if not isinstance(base, Mapping) or not isinstance(changes, Mapping) or not changes:
        return changes
    added = {key: changes[key] for key in changes if key not in base}
    return {key: _merged(base[key], changes[key]) if key in changes else base[key] for key in base} | added


@pytest.fixture(scope="session")
def _embedded_suite() -> dict[str, Any]:
    return YAML(typ="safe").load((ROOT / "suites" / "embedded.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def suite(_embedded_suite: dict[str, Any]) -> dict[str, Any]:
    """The embedded suite as plain values, with the published objective and nothing beyond the paper's tables
    and figures; a test's own copy."""
    plain = copy.deepcopy(_embedded_suite)
    plain |= {"objective": "gradient", "steps": 300, "growth_interval": 8, "ensembles": {}}
    plain["variants"] |= {group: {} for group in ("longer", "objectives", "ipc", "recipes")}
    for name in ("table9", "table10", "table11"):
        plain["tables"][name] = left_out(plain["tables"][name])
    for name in ("figure9", "figure10"):
        plain["figures"][name] = {"dataset": "none", "source": "none"}
    return plain


@pytest.fixture
def params(suite: dict[str, Any]) -> Callable[..., Params]:
    """`params(ipc=2, probe={"epochs": 3})`: the embedded suite with some keys replaced, parsed."""
    return lambda **changes: parse_params(_merged(suite, changes) if changes else suite)


@pytest.fixture
def method(params: Callable[..., Params]) -> Callable[..., MethodSettings]:
    """`method(steps=3)`: the suite's method with some keys replaced."""
    return lambda **changes: params(**changes).method


def _tiny_backbone(
    width: int = 5, *, seed: int = 0, dtype: torch.dtype = torch.float32, spread: float = 0.4
) -> FrozenBackbone:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(24, width),
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, spread, generator=generator)
    return FrozenBackbone(model, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)).to(dtype)


@pytest.fixture
def tiny_backbone() -> Callable[..., FrozenBackbone]:
    """`tiny_backbone(width=5, seed=0, dtype=torch.float64)`: random convolution, pooling, linear layer."""
    return _tiny_backbone


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh CPU generator with a fixed seed."""
    return torch.Generator().manual_seed(0)
