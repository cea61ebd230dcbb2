"""The command `greenroom`.                                                      layer: cli

Imported before anything is patched, so it must not import ssl, socket or threading.
"""

import sys

from greenroom.cli import run, serve
from greenroom.patch.table import PARTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def make_parser() -> "argparse.ArgumentParser":
    """Return the parser of all subcommands."""
    import argparse

    parser = argparse.ArgumentParser(
        prog="greenroom", description="Run plain blocking Python programs as green threads."
    )
    # Without prog argparse would make one, and import half of the library to format it.
    commands = parser.add_subparsers(
        prog="greenroom", dest="command", required=True, metavar="COMMAND"
    )
    runner = commands.add_parser(
        "run",
        help="run a program with the standard library patched from its first line on",
        description="Run a program with the standard library patched from its first line on.",
        usage="greenroom run [options] (SCRIPT | -m MODULE) [ARGS ...]",
    )
    for part in PARTS:
        runner.add_argument(
            f"--no-{part}", dest=part, action="store_false", help=f"leave {part} as it is"
        )
    runner.add_argument(
        "--as-gevent",
        action="store_true",
        help="offer greenroom.compat.gevent under the name gevent",
    )
    runner.add_argument("-m", dest="is_module", action="store_true", help="run a module")
    runner.add_argument("program", metavar="SCRIPT", help="the script, or the module with -m")
    runner.add_argument("args", nargs=argparse.REMAINDER, metavar="ARGS", help="its arguments")
    serve.add_arguments(
        commands.add_parser(
            "serve",
            help="serve a WSGI or ASGI application",
            description="Serve a WSGI or ASGI application over HTTP, on one core or all of them.",
        )
    )
    doctor = commands.add_parser(
        "doctor",
        help="say what this installation can do, and what a script would meet",
        description="Say what this installation of greenroom can do, what it cannot, and what a "
        "script would meet: modules that keep old references, packages that block.",
    )
    doctor.add_argument(
        "script", metavar="SCRIPT", nargs="?", help="its imports are looked at; it is not run"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    if argv is None:
        argv = sys.argv[1:]
    if len(argv) > 1 and argv[0] == "run" and not argv[1].startswith("-"):
        # argparse takes as long to load as Python to start.
        return run.main(argv[1], argv[2:], is_module=False, as_gevent=False, parts={})
    options = make_parser().parse_args(argv)
    if options.command == "doctor":
        from greenroom.cli import doctor  # loads much that a program to run may not need

        return doctor.main(options.script)
    if options.command == "serve":
        return serve.main(options)
    return run.main(
        options.program,
        options.args,
        is_module=options.is_module,
        as_gevent=options.as_gevent,
        parts={part: getattr(options, part) for part in PARTS},
    )


if __name__ == "__main__":
    sys.exit(main())
