"""`python -m preceptor` is the `preceptor` command."""

from preceptor.cli.app import main

main()
