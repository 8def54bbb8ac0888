"""Commands of `python deploy_app`: process studies, show or extract what is in the image, test it."""

from __future__ import annotations

import sys

from logs import Log
from messages import exit_code_of
from paths import Paths, add_path_options, new_parser
from petlesion.errors import ExitCode
from settings import load_settings


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    log = Log(sys.stdout)
    try:
        parser = new_parser("Tumour lesions in PET/CT. Exit codes and options: docs/how-to/deploy.md.")
        parser.add_argument(
            "command",
            nargs="?",
            choices=("run", "show", "extract"),
            default="run",
            help="run: process studies (default); show: print the manifests; extract: copy the image's contents out",
        )
        parser.add_argument("which", nargs="?", choices=("app", "pkg"), help="manifest to show; both by default")
        parser.add_argument("--selftest", action="store_true", help="process an embedded phantom and check the result")
        add_path_options(parser)
        given = parser.parse_args(arguments)
        if given.command == "show":
            from manifests import show

            sys.stdout.write(show(given.which))
            return ExitCode.DONE
        if given.command == "extract":
            from manifests import extract

            log("extracted", parts=",".join(extract()))
            return ExitCode.DONE
        if given.selftest:
            from selftest import selftest

            return selftest(log)
        from supervisor import supervise

        return supervise(Paths(given.input, given.output, given.model), load_settings(), log)
    except Exception as error:  # noqa: BLE001 - the last line of defence: every error becomes a code
        code = exit_code_of(error)
        log.error("run failed", error, code)
        return code
