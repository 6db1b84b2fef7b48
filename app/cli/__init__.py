"""The console command `glitch-discovery`.

Each command imports its modules when it runs, because torch and gwpy take seconds to import and
`--help` must be fast.
"""

from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from app.cli import catalogue, jobs, references, running, tokens
from app.cli.options import set_environment
from app.launch.errors import reported_as_sentences
from training import cli as training


class _Commands(TyperGroup):
    """Prints expected errors as sentences, and lists the first commands that users need first.

    Options that choose the service are accepted before or after the name of its commands.
    """

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        shared = [copy(one) for one in self.params if one.name in {"data_dir", "port"}]
        for option in shared:
            option.expose_value = False
            option.callback = _set_place
        for command in self.commands.values():
            for one in getattr(command, "commands", {"": command}).values():
                if one.callback.__module__.startswith("app."):
                    one.params.extend(shared)

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=lambda name: name not in {"up", "demo"})

    def invoke(self, ctx: Any) -> Any:
        with reported_as_sentences(except_for=typer.Exit):  # raised by `--help`
            return super().invoke(ctx)


def _set_place(_: Any, option: Any, value: object) -> None:
    set_environment(**{f"GLITCH_{option.name.upper()}": value})


app = typer.Typer(
    name="glitch-discovery",
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(catalogue.app)
app.add_typer(references.app)
app.add_typer(jobs.app, name="jobs")
app.add_typer(tokens.app, name="token")
app.add_typer(running.app)
app.add_typer(training.app)


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        from glitch_discovery.version import VERSION

        typer.echo(f"glitch-discovery {VERSION}")
        raise typer.Exit


@app.callback()
def common(
    *,
    version: Annotated[  # noqa: ARG001  (its callback acts before any command)
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_print_version, is_eager=True
        ),
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of all data. Default: GLITCH_DATA_DIR, else ./data.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port; for `up` 0 takes a free one. Default: GLITCH_PORT, else 8000."),
    ] = None,
) -> None:
    """Find new classes of gravitational-wave detector glitches."""
    set_environment(GLITCH_DATA_DIR=data_dir, GLITCH_PORT=port)


def main() -> Any:
    """Run the console script."""
    return app()
