"""Run campus as a process: `python -m tests.campus --help`."""

import argparse
import logging
import signal
import threading

from .campus import Campus
from .config import Config
from .families import FAMILIES


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.campus", description="A small strict LMS for demo and tests."
    )
    parser.add_argument("--port", type=int, default=8001, help="port on the loopback address; 0: a free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--base-url", default="", help="campus as browsers see it (its issuer)")
    parser.add_argument("--backchannel-url", default="", help="campus as the tool's server sees it")
    parser.add_argument("--tool-url", default=Config.tool_url, help="origin of the tool")
    parser.add_argument("--tool-login", default="", help="login initiation URL, if not TOOL_URL/login")
    parser.add_argument("--tool-target", default="", help="target link URI, if not TOOL_URL/launch")
    parser.add_argument("--tool-redirect", action="append", default=[], help="redirect URI; may be repeated")
    parser.add_argument("--tool-jwks", default="", help="the tool's keys, as campus can reach them")
    parser.add_argument("--client-id", default="", help="the tool's client id; random without")
    parser.add_argument("--deployment-id", default=Config.deployment_id, help="the tool's deployment")
    parser.add_argument("--token-audience", default="", help="audience of assertions, if not the token URL")
    parser.add_argument("--family", choices=FAMILIES, default="campus", help="whose behaviour it has")
    parser.add_argument(
        "--storage", help="where the tool may keep its state: _parent, a frame's name, or nothing for nowhere"
    )
    parser.add_argument("--page-size", type=int, help="the most that a service lists at once")
    parser.add_argument("--no-tool", action="store_true", help="know no tool until one registers")
    parser.add_argument("--pending", action="store_true", help="new tools wait to be switched on")
    parser.add_argument("--control", action="store_true", help="switch on /_control/... (for tests only)")
    parser.add_argument("--verbose", action="store_true", help="print the log as it is written")
    return parser


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    options = arguments().parse_args()
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.ERROR, format="campus: %(levelname)s %(message)s"
    )
    named = {"client_id": options.client_id} if options.client_id else {}
    campus = Campus(
        Config(
            tool_url=options.tool_url,
            deployment_id=options.deployment_id,
            host=options.host,
            port=options.port,
            base_url=options.base_url,
            backchannel_url=options.backchannel_url,
            login_url=options.tool_login,
            target_link_uri=options.tool_target,
            redirect_uris=tuple(options.tool_redirect),
            tool_jwks_url=options.tool_jwks,
            token_audience=options.token_audience,
            control=options.control,
            behaviour=FAMILIES[options.family],
            storage=options.storage,
            page_size=options.page_size,
            registered=not options.no_tool,
            new_tools_pending=options.pending or None,
            **named,
        )
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with campus:
        print(f"campus is at {campus.url}", flush=True)
        if options.no_tool:
            print(f"  register a tool at {campus.url}/tools?as=ada", flush=True)
        else:
            for name, value in campus.registration.items():
                print(f"  {name}: {value}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
