"""Commands whose errors are in the words of the command line: flags, metavariables and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import click

from omniconv.checks import did_you_mean
from omniconv.errors import InputError
from omniconv.tasks import TASKS, get_task
from omniconv.training.settings import RunConfig, option

WORDS = "omniconv.words"
"""Key of the words of the command line in click's context."""
ALIASES = {"path": "out", "model": "source", "run": "source"}
"""Arguments of functions whose value comes from an option or argument of another name."""
TRUST = "run code that a file names or contains: the network of your own of a run or of --config, a .pt2 program"
"""Help of ``--trust``."""


class Command(click.Command):
    """Command that converts arguments named in an ``InputError`` to its flags."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors name flags."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            error.args = (in_command_words(error, self, ctx.params),)
            raise


class TaskCommand(Command):
    """Command whose help also shows the defaults of the task and the method that precede ``--help``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words of the command line for its help, which is shown before they are parsed."""
        ctx.meta[WORDS] = list(args)
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings whose defaults the task changes."""
        words = ctx.meta.get(WORDS, [])
        name = next((word for word in words if word in TASKS), "")
        method = dict(pairwise(words)).get("--method", "")
        if not name or (method and method not in TASKS[name].methods):
            return
        task = get_task(name, method)
        rows = [(option(setting), str(value)) for setting, value in task.defaults.items()]
        if rows:
            with formatter.section(f"Defaults of {' '.join(filter(None, (name, task.method)))} that differ"):
                formatter.write_dl(rows)


class NearestGroup(click.Group):
    """Command group that suggests the most similar command for a misspelt one."""

    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command, or raise an error that names the most similar one."""
        if args and self.get_command(ctx, args[0]) is None:
            names = self.list_commands(ctx)
            cure = did_you_mean(args[0], names, f"the commands are {', '.join(names)}")
            raise click.UsageError(f"No such command '{args[0]}': {cure}", ctx)
        return super().resolve_command(ctx, args)


def own_network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--network`` and ``--trust``, which allow the code of a run of a network of the user's own to run."""
    for flag, settings in (
        ("--trust", {"is_flag": True, "help": TRUST}),
        ("--network", {"help": RunConfig.model_fields["network"].description}),
    ):
        command = click.option(flag, **settings)(command)
    return command


def in_command_words(error: InputError, command: click.Command, typed: dict[str, Any]) -> str:
    """Return the message of an error with ``--epochs 20`` instead of ``epochs=20``.

    Args:
        error: raised by a function that was called with the options of the command.
        command: the command.
        typed: values of the parameters of the command.
    """
    if error.path and error.argument:  # a value in a file, not an option
        return str(error)
    flags, subject, name = _flags(command), error.subject, error.argument
    if name in flags:
        subject = f"{flags[name]}={error.value}"
    elif (name := ALIASES.get(name, "")) in flags:
        subject = f"{flags[name]}={str(typed.get(name))!r}"
    return f"{subject}: {translate(error.rule, flags)}; {translate(error.cure, flags)}"


def translate(text: str, flags: dict[str, str]) -> str:
    """Replace ``name=value`` by ``--flag value`` and ``name=True`` by ``--flag`` for the names of options.

    Example:
        >>> translate("use size='128x256', or overwrite=True", {"size": "--size", "overwrite": "--overwrite"})
        'use --size 128x256, or --overwrite'
    """

    def replaced(match: re.Match[str]) -> str:
        flag, value = flags[match["name"]], match["value"].strip("'")
        if not flag.startswith("-"):  # a positional argument
            return value
        return flag if value == "True" else f"{flag} {value}"

    names = "|".join(sorted(flags, key=len, reverse=True))
    return re.sub(rf"(?<![\w./:,'=-])(?P<name>{names})=(?P<value>'[^']*'|[^\s;,)]+)", replaced, text) if names else text


def usage_message(error: click.ClickException) -> str:
    """Return click's message on wrong words with what to write instead."""
    message, context = error.format_message().rstrip("."), getattr(error, "ctx", None)
    if context is None or not isinstance(error, click.UsageError):
        return message
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        if isinstance(param := error.param, click.Option):
            setting = RunConfig.model_fields.get(str(param.name))
            default = setting.default if setting and setting.default is not None else param.default
            usable = isinstance(default, int | float | str) and not isinstance(default, bool)
            return f"{message}; " + (f"use {param.opts[0]} {default}" if usable else "give another, or leave it out")
    elif isinstance(error, click.MissingParameter) or "extra argument" in message:
        message = f"{message}; write: {_usage(context)}"
    return f"{message} (see {context.command_path} --help)"


def _usage(context: click.Context) -> str:
    words = [context.command_path]
    for param in context.command.get_params(context):
        if isinstance(param, click.Argument):
            words.append(param.make_metavar(context))
        elif param.required:
            words += [param.opts[0], param.make_metavar(context)]
    return " ".join(words)


def _flags(command: click.Command) -> dict[str, str]:
    """Return the words of the command line for the parameters of a command, by name."""
    flags: dict[str, str] = {}
    for param in command.params:
        if isinstance(param, click.Argument):
            flags[str(param.name)] = (param.metavar or str(param.name)).upper().rstrip(".")
        else:
            own = next(name for name in param.opts if name.startswith("--"))
            flags |= {str(param.name): own, own.lstrip("-").replace("-", "_"): own}
    return flags
