"""Print the lowest version that pyproject.toml admits of each dependency, as constraints for pip.

`scripts/lowest_versions.sh` installs them. torch is left to constraints.txt: an older one has no build for a CPU by
itself, so that its floor is not tested.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

FLOOR = re.compile(r"^([A-Za-z0-9_-]+)(?:\[[^]]*])?>=([0-9.]+)")
NOT_TESTED = {"torch"}


def main() -> None:
    """Print a constraint per dependency that names a lowest version."""
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for group in project["optional-dependencies"].values() for one in group)]
    for found in filter(None, map(FLOOR.match, wanted)):
        name, version = found.groups()
        if name not in NOT_TESTED:
            print(f"{name}=={version}")


if __name__ == "__main__":
    main()
