"""The console command `glitch-discovery`.

Each command imports what it needs when it runs: torch and gwpy take seconds, `--help` must not.
"""

from __future__ import annotations

from typing import Any

import typer

from app.cli import catalogue, jobs, running, tokens, training

app = typer.Typer(
    name="glitch-discovery",
    help="Finds new classes of gravitational-wave detector glitches.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(running.app)
app.add_typer(catalogue.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(tokens.app, name="token")
app.add_typer(training.app)


def main() -> Any:
    """The entry point of the console script."""
    return app()
