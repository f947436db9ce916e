"""Write the class sums of a data set's features, to distil from without its images.

python -m stages.statistics <dataset> <backbone> <file>.safetensors [--epsilon E --delta D --norm R]

With the three options the sums are (ε, δ)-differentially private, for one image more or less like another:
features are clipped to the norm R, and Gaussian noise is added. `lgm distill --statistics FILE …` distils.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("statistics", __doc__, "dataset backbone file", options=("[epsilon]", "[delta]", "[norm]"))

from pathlib import Path

from lgm_core.foundation.errors import InputError, SettingError
from lgm_core.method.real import real_bank
from lgm_core.method.statistics import Privacy, class_statistics
from stages.params import read_layout, read_params
from stages.work import Work


def main(dataset: str, backbone: str, file: str, epsilon: str = "", delta: str = "", norm: str = "") -> None:
    """Read the feature cache, and write the file."""
    path = Path(file)
    if path.suffix != ".safetensors":
        raise InputError(f"{path} must end in .safetensors.")
    if path.exists():
        raise InputError(f"{path} exists; give a new file.")
    privacy = _privacy({"epsilon": epsilon, "delta": delta, "norm": norm})
    params = read_params()
    params.backbone(backbone)
    own = Work.on(params, read_layout(params), dataset, backbone).opened(backbone)
    found = class_statistics(real_bank(own.cache, params.method), own.backbone, params.method, privacy)
    found.save(path)
    told = "without noise" if privacy is None else f"epsilon {privacy.epsilon:g}, delta {privacy.delta:g}"
    print(f"{path}: {len(found.classes)} classes, {int(found.counts.sum())} images, {told}")


def _privacy(given: dict[str, str]) -> Privacy | None:
    """All three numbers, or none."""
    if not any(given.values()):
        return None
    try:
        return Privacy(**{key: _number(key, text) for key, text in given.items()})
    except SettingError as error:
        raise SettingError(f"--{error.key}", error.given, error.allowed) from None


def _number(key: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingError(key, text, "a number; --epsilon, --delta and --norm go together") from None
