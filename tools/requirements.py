"""Print the requirements in setup.cfg, one a line: the package's and those of the extras named, without the packages named."""

import argparse
import configparser
import re
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"


def list_requirements(extras: list[str], without: list[str]) -> list[str]:
    """Requirements as pip reads them.

    Parameters
    ----------
    extras
        Names of extras, whose requirements follow those of the package.
    without
        Names of packages to leave out, as setup.cfg spells them.
    """
    config = configparser.ConfigParser()
    config.read(SETUP)
    sections = [config["options"]["install_requires"], *(config["options.extras_require"][extra] for extra in extras)]
    requirements = [line for section in sections for line in section.split("\n") if line]
    return [line for line in requirements if re.split(r"[^\w.-]", line)[0] not in without]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extra", nargs="*", default=[])
    parser.add_argument("--without", nargs="*", default=[])
    options = parser.parse_args()
    print("\n".join(list_requirements(options.extra, options.without)))
