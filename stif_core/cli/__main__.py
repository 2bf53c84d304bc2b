"""``python -m stif_core.cli``: the command where pip did not install it."""

from stif_core.cli import main

main()
