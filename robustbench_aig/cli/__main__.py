"""`python -m robustbench_aig.cli`."""

from robustbench_aig.cli.app import main

main()
