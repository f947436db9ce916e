"""What result files hold, read with suspicion: numbers, names and pictures have to be some.

A file may have been edited or cut; it is named before anything is made of it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lgm_core.foundation.errors import DamagedFileError, MissingFileError, StaleFileError

if TYPE_CHECKING:
    from PIL import Image

_LARGEST = 1e15


def below(path: Path, content: Any, *keys: str) -> Any:
    """What a JSON file holds below some keys.

    Raises:
        StaleFileError: if there is no such key.
    """
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise StaleFileError(path, f"has no {' / '.join(keys)}: it is older than the settings")
        content = content[key]
    return content


def number(path: Path, value: Any) -> float:
    """A finite number, of a size that accuracies, seconds and bytes have.

    Raises:
        DamagedFileError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise DamagedFileError(path, f"is damaged: {value!r:.40} stands where a number should")
    return value


def numbers(path: Path, value: Any) -> list[float]:
    """Finite numbers, at least one.

    Raises:
        DamagedFileError: if they are none.
    """
    if not isinstance(value, list) or not value:
        raise DamagedFileError(path, f"is damaged: {value!r:.40} stands where numbers should")
    return [number(path, one) for one in value]


def number_sets(path: Path, value: Any) -> list[list[float]]:
    """Lists of finite numbers, at least one of at least one.

    Raises:
        DamagedFileError: if they are none.
    """
    if not isinstance(value, list) or not value:
        raise DamagedFileError(path, f"is damaged: {value!r:.40} stands where runs of sets should")
    return [numbers(path, runs) for runs in value]


def words(path: Path, value: Any) -> list[str]:
    """Texts, at least one.

    Raises:
        DamagedFileError: if they are none.
    """
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise DamagedFileError(path, f"is damaged: {value!r:.40} stands where names should")
    return value


def picture_name(path: Path, value: Any) -> str:
    """Name of a picture below the folder of the file that names it.

    Raises:
        DamagedFileError: if it is no name, or leads elsewhere.
    """
    place = PurePosixPath(value) if isinstance(value, str) and value and "\0" not in value else None
    if place is None or place.is_absolute() or ".." in place.parts:
        raise DamagedFileError(path, f"is damaged: {value!r:.60} is no picture below its folder")
    return value


def near_pictures(path: Path, value: Any) -> list[dict[str, Any]]:
    """Real images near to distilled ones: `picture`, `name`, `similarity` and a list of `further` ones.

    Raises:
        DamagedFileError: if they are none, or a picture leads elsewhere.
    """
    if not isinstance(value, list) or not value:
        raise DamagedFileError(path, "is damaged: it lists no images")
    for entry in value:
        further = below(path, entry, "further")
        if not isinstance(further, list):
            raise DamagedFileError(path, f"is damaged: {further!r:.40} stands where further images should")
        for near in (entry, *further):
            picture_name(path, below(path, near, "picture"))
            words(path, [below(path, near, "name")])
            number(path, below(path, near, "similarity"))
    return value


def read_picture(path: Path) -> Image.Image:
    """A picture as RGB.

    Raises:
        FileError: if it is missing or damaged.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except FileNotFoundError:
        raise MissingFileError(path) from None
    except Exception as error:  # decoders raise whatever broken bytes lead them to
        raise DamagedFileError(path, f"is damaged ({error})") from error


class Origins:
    """What result files say that they were made from: all that is shown together has to agree.

    Args:
        results: folder of all results of a suite.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self._known: dict[str, tuple[object, Path]] = {}

    def note(self, path: Path, made: Any) -> None:
        """Take note of what a file was made from.

        Args:
            path: the file.
            made: address → fingerprint, as it says.

        Raises:
            FileError: if a file that was noted before was made from something else of that address.
        """
        if not isinstance(made, dict):
            raise DamagedFileError(path, f"is damaged: {made!r:.40} stands where its origins should")
        for address, content in made.items():
            known, first = self._known.setdefault(address, (content, path))
            if known != content:
                other = first.relative_to(self.results) if first.is_relative_to(self.results) else first
                raise StaleFileError(path, f"and {other} are of different {address}: one of them is older")
