"""Check the files of all released sets and write the page over them: python -m stages.releases [folder].

The folder, `releases` unless given, holds exports <data set>/<source>/ of python -m stages.export.
"""

if __name__ == "__main__":
    from stages.process import run_stage

    run_stage("releases", __doc__, "[folder]", params=False)

from pathlib import Path

from lgm_core.foundation.store import write_text
from lgm_core.reporting.releases import find_releases, releases_page


def main(folder: str = "releases") -> None:
    """Write README.md of the folder."""
    found = find_releases(Path(folder))
    write_text(Path(folder) / "README.md", releases_page(found))
    print(f"{len(found)} sets in {folder}")
