"""What a run is: all that determines its result, and how two runs differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lgm_core.foundation.code import Code
from lgm_core.foundation.provenance import arithmetic, versions
from lgm_core.foundation.store import checksum
from lgm_core.method.distiller import Distiller, Member


def distilling_code() -> str:
    """Fingerprint of the code that a step runs, whatever else is loaded: other code, another run."""
    root = Path(__file__).parents[2]
    return Code(root, ("lgm_core",)).fingerprint(Path(__file__).with_name("distiller.py"))[:16]


def run_facts(distiller: Distiller, **source: Any) -> dict[str, Any]:
    """What determines the result of a distillation: two runs with equal facts make equal images.

    Args:
        distiller: before its first step.
        source: JSON-like values that say in words what the checksums below stand for.
    """
    start = {} if distiller.start is None else {"start": checksum({"images": distiller.start}, {})}
    return {
        **source,
        "seed": distiller.seed,
        "method": asdict(distiller.method),
        "members": {
            f"{number} {member.name}".strip(): _member_facts(member)
            for number, member in enumerate(distiller.members)
        },
        **start,
        "code": distilling_code(),
        "versions": versions(),
        **arithmetic(distiller.device),
    }


def _member_facts(member: Member) -> dict[str, Any]:
    bank = {"views": member.bank.views, "labels": member.bank.labels}
    if member.bank.slots is not None:
        bank["slots"] = member.bank.slots
    return {
        "weight": member.weight,
        "features": checksum(bank, {"classes": str(len(member.bank.classes))}),
        "weights": checksum(member.backbone.state_dict(), {}),
    }


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts by dotted name."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What differs between two runs, as `key: value there, value here`."""
    old = _flat(there)
    new = _flat(here)
    keys = [key for key in {**old, **new} if old.get(key, "absent") != new.get(key, "absent")]
    return [f"{key}: {old.get(key, 'absent')} there, {new.get(key, 'absent')} here" for key in keys]
