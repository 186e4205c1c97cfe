"""Run an example's click command with the exit codes of ``omniconv``: 0 done, 2 wrong input, 130 interrupted."""

from __future__ import annotations

import click

from omniconv.errors import InputError


def run_command(command: click.Command, name: str, arguments: list[str] | None, interrupted: str = "") -> int:
    """Run a command and return its exit code; errors are one line on stderr, as is ``interrupted`` after Ctrl-C."""
    try:
        command.main(arguments, name, standalone_mode=False)
    except click.ClickException as error:
        click.echo(f"{name}: {error.format_message()} (see --help)", err=True)
        return 2
    except InputError as error:
        click.echo(f"{name}: {error}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        if interrupted:
            click.echo(f"{name}: {interrupted}", err=True)
        return 130
    return 0
