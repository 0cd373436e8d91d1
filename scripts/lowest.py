"""Prints the lowest version of each dependency that pyproject.toml allows, as pip's constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
for needed in sorted({*project["dependencies"], *(one for extra in extras for one in extra)}):
    if bounded := re.match(r"([\w.-]+)(?:\[[^]]*])?>=([\w.]+)", needed):
        print(f"{bounded[1]}=={bounded[2]}")
