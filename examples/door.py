"""How an example's command ends: 0 done, 2 wrong input in one line, 130 interrupted."""

from __future__ import annotations

import click

from omniconv.errors import InputError


def run(command: click.Command, name: str, arguments: list[str] | None, interrupted: str = "") -> int:
    """Run a command; ``interrupted`` is said where it was stopped by hand."""
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
