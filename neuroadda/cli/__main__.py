"""``python -m neuroadda.cli``."""

from neuroadda.cli import main

main()
