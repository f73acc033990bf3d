"""`python -m ship.cli`."""

from ship.cli import main

main()
