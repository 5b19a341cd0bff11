"""``python -m ipylti.cli``: what units run."""

from ipylti.cli import main

main(prog_name="ipylti")
