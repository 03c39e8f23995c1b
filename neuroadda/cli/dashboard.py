"""The verb that serves a run's dashboard."""

import sys
from typing import Annotated

import typer

from neuroadda.cli.options import Ledger
from neuroadda.errors import RunStopped

app = typer.Typer()

TOKEN_HELP = "Token that opens the page; on the network one is required, and random by default."


@app.command()
def dashboard(
    where: Annotated[str, typer.Argument(help="Run folder, or the ledger's URL.")],
    ledger: Ledger = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is reached from this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8321,
    token: Annotated[str | None, typer.Option(envvar="NEUROADDA_DASHBOARD_TOKEN", help=TOKEN_HELP)] = None,
) -> None:
    """Show a run in a browser, live from its ledger alone: is it healthy, why did blocks fail, how to finish; Ctrl-C ends it."""
    from neuroadda.viewing.access import warn_of_network
    from neuroadda.viewing.dashboard.server import open_dashboard

    with open_dashboard(where, host, port, token, ledger) as served:
        if warning := warn_of_network(host):
            print(warning, file=sys.stderr)
        print(served.url, flush=True)
        try:
            served.serve_forever()
        except (KeyboardInterrupt, RunStopped):
            print("the dashboard is closed; the run goes on", file=sys.stderr)
