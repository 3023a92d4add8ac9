"""worker-bakery token fetch: get a worker's token from PROMINENCE with a user's token."""

from __future__ import annotations

import argparse
import os

from bakery.commands.command_line.parser import Parser, completed, number
from bakery.commands.command_line.settings import Settings
from bakery.commands.token import common
from provisioner.errors import BadInput

SUMMARY = "get a worker's token from PROMINENCE"
USAGE = "--url URL -o FILE [options]"
URL_VARIABLE = "PROMINENCE_URL"
USER_VARIABLE = "PROMINENCE_TOKEN"
PROMPT = "Your token of PROMINENCE (it is not shown): "
DESCRIPTION = (
    "Send your user token to the API of PROMINENCE, and save the worker token of the answer. The user "
    "token comes from --user-token-file, from the variable PROMINENCE_TOKEN, or from a prompt. TLS is "
    "required."
)
EXAMPLES = (
    "%(prog)s --url https://prominence.example.org/api -o token",
    "%(prog)s --user-token-file ~/.prominence-token -o token",
)


def add_options(made: Parser) -> None:
    made.add_argument("--url", metavar="URL", help=f"URL of the API (default: the variable {URL_VARIABLE})")
    user = made.add_argument(
        "--user-token-file", metavar="FILE", help="file that contains your user token; - is standard input"
    )
    completed(user, "file")
    made.add_argument(
        "--timeout",
        type=number,
        default=30.0,
        metavar="SECONDS",
        help="time for an answer (default: %(default)g)",
    )
    common.add_output(made)


def run(options: argparse.Namespace, settings: Settings) -> int:
    path = common.output_path(options)
    common.refuse_input(path, options.user_token_file)
    url = options.url or url_of_environment()
    token = fetched(url, options.user_token_file, options.timeout)
    common.save(options, path, token)
    return 0


def url_of_environment() -> str:
    """Raises BadInput: the variable is not set."""
    if not os.environ.get(URL_VARIABLE):
        raise BadInput(
            "The URL of PROMINENCE is required.", f"Use --url URL or the variable {URL_VARIABLE}."
        )
    return os.environ[URL_VARIABLE]


def fetched(url: str, user_token_file: str | None = None, seconds: float = 30.0) -> str:
    """Return a new token of a worker. Raises BadInput, Unreachable, BakeryError."""
    from bakery.tokens import https_post, prominence

    prominence.endpoint_of(url)  # before the user pastes a token
    user_token = common.secret(user_token_file, USER_VARIABLE, PROMPT)
    return prominence.fetch(url, user_token, https_post.Limits(attempt=seconds))
