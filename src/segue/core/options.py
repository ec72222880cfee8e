"""Command-line options that every command shares, and how a command ends.

stdout carries results, stderr progress and messages. Exit codes: 0 done, 1 failed, 2 wrong use,
130 interrupted by Ctrl-C, 143 by SIGTERM.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from segue.core.errors import SegueError, printable
from segue.core.interrupt import Terminated, terminable
from segue.core.names import resolve, unknown

__all__ = ["LazyGroup", "config_options", "needed", "print_json", "refuse_settings", "run"]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def config_options(command: F) -> F:
    """Add --config, --set, --print-config, --json and --debug to a command.

    The command receives `config_file`, `assignments`, `print_config`, `as_json`; --debug is read by
    `run` and is passed on as `debug`.
    """
    options = (
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path),
            help="TOML file that states differences from the defaults.",
        ),
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="K=V",
            help="Change one setting, as in --set mix.duck_db=18. May be repeated.",
        ),
        click.option(
            "--print-config",
            is_flag=True,
            is_eager=True,
            callback=_need_nothing_else,
            help="Show the resolved settings and stop.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout."),
        click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def needed(value: T | None, option: str) -> T:
    """Return what was given for an option that --print-config can do without.

    Raises:
        click.UsageError: nothing was.
    """
    if value is None:
        raise click.UsageError(f"Missing option '{option}'.")
    return value


def refuse_settings(resume: bool, *given: object) -> None:
    """Refuse settings beside --resume.

    Args:
        resume: whether a run is resumed.
        given: values of options that are settings; None and () say that one was not given.

    Raises:
        click.UsageError: a run is resumed, and something was given.
    """
    if resume and any(each not in (None, ()) for each in given):
        raise click.UsageError("A run that is resumed keeps its settings; leave them out.")


def _need_nothing_else(context: click.Context, option: click.Parameter, given: bool) -> bool:
    """Let --print-config do without the files and folders that the command itself requires."""
    if given:
        required = [each for each in context.command.params if each.required]

        def restore() -> None:
            for each in required:
                each.required = True

        context.call_on_close(restore)
        for each in required:
            each.required = False
    return given


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, not when help is printed.

    Args:
        table: command name -> (`"module:attribute"` of a click command, help line).
    """

    def __init__(self, *args: Any, table: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command, or None when the name is unknown."""
        if cmd_name not in self.table:
            return None
        command: click.Command = resolve({cmd_name: self.table[cmd_name][0]}, cmd_name, "command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is an error that gives the nearest name."""
        if args and not args[0].startswith("-") and args[0] not in self.table:
            raise unknown("command", args[0], self.table)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, importing none of them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


def print_json(value: Any) -> None:
    """Write one JSON object to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=True, allow_nan=False) + "\n")


def run(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run a command; turn every failure into one line on stderr; return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    try:
        with terminable():
            result = command.main(arguments, prog_name="segue", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, click.exceptions.Abort) as error:
        code = 143 if Terminated in (type(error), type(error.__cause__)) else 130
        return _say("interrupted. Run the same command again to continue where it stopped", code)
    except click.ClickException as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            sys.stderr.write(error.format_message() + "\n")
            return 2
        context = getattr(error, "ctx", None)
        hint = f". Try: {context.command_path} --help" if context else ""
        return _say(printable(error.format_message()).rstrip(".") + hint, error.exit_code)
    except SegueError as error:
        if debug:
            traceback.print_exc()
        return _say(str(error), error.exit_code)
    except Exception as error:  # the last line of defence: a fault of ours, still one line
        if debug:
            traceback.print_exc()
        text = f"{type(error).__name__}: {printable(error)}"
        return _say(f"unexpected failure: {text}. This is a fault in Segue; --debug shows where", 1)


def _say(message: str, code: int) -> int:
    sys.stderr.write(f"segue: {message}\n")
    return code
