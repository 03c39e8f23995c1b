"""The requirements that `make` installs on top of the package, or without torch."""

import configparser

from tools.requirements import SETUP, list_requirements


def test_nothing_but_what_is_named_is_left_out() -> None:
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    package = setup["options"]["install_requires"].split("\n")[1:]
    test = setup["options.extras_require"]["test"].split("\n")[1:]
    assert list_requirements([], []) == package
    assert list_requirements(["test"], []) == [*package, *test]
    left_out = set(package) - set(list_requirements(["test"], ["torch"]))
    assert {line.split(">")[0] for line in left_out} == {"torch"}
