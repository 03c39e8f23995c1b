"""The verb that shows volumes in Neuroglancer."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from neuroadda.cli.options import Json
from neuroadda.errors import RunStopped, UserError

app = typer.Typer()

PLACES_HELP = (
    "Run folder, volume, pyramid, published folder, proposals, or an exported Neuroglancer state; several together."
)
TOKEN_HELP = "What opens the view; from the network one is demanded, and made up where none is given."
VIEWER_HELP = (
    "Address of a Neuroglancer; by default that of the extra `view`, which needs no network, else the public one."
)
ELSEWHERE_HELP = "Serve nothing: print a link for a web server that offers --root at this address."


@app.command()
def view(
    places: Annotated[list[str], typer.Argument(metavar="RUN...", help=PLACES_HELP)],
    segments: Annotated[
        list[int] | None, typer.Option("--segment", min=1, help="Id to show in 3-D; by default the largest.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to serve at; other machines reach only another one.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8322,
    token: Annotated[str | None, typer.Option(envvar="NEUROADDA_VIEW_TOKEN", help=TOKEN_HELP)] = None,
    viewer: Annotated[str | None, typer.Option(help=VIEWER_HELP)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in a browser.")] = False,
    base_url: Annotated[str | None, typer.Option(help=ELSEWHERE_HELP)] = None,
    root: Annotated[Path, typer.Option(help="Folder that is offered at --base-url, holding what is shown.")] = Path(),
    as_json: Json = False,
) -> None:
    """Show a run in Neuroglancer: raw, affinities, segmentation, meshes, proposals. These alone are served; Ctrl-C ends it."""
    from neuroadda.cli.console import print_json
    from neuroadda.viewing.viewer.places import find_view

    for address in (viewer, base_url):
        if address is not None and not address.startswith(("http://", "https://")):
            raise UserError(f"{address!r} is not an http(s) address", "--viewer" if address == viewer else "--base-url")
    found = find_view(places, segments or ())
    if base_url is not None:
        from neuroadda.viewing.viewer.addresses import served_address
        from neuroadda.volumes.neuroglancer import VIEWER, state_url

        state = found.to_state(
            lambda shown: (
                served_address(shown.location, root, base_url)
                if isinstance(shown.location, Path)
                else str(shown.location)
            )
        )
        print_json(state) if as_json else print(state_url(state, viewer or VIEWER))
        return
    from neuroadda.viewing.access import warn_of_network
    from neuroadda.viewing.viewer.server import open_view

    with open_view(found, host, port, token, viewer) as served:
        if warning := warn_of_network(host, "viewer", "the volumes"):
            print(warning, file=sys.stderr)
        if served.viewer is not None:
            print(f"the viewer's pages are those of {served.viewer}, which the browser has to reach", file=sys.stderr)
        print_json({"url": served.url, "state": served.state()}) if as_json else print(served.url)
        sys.stdout.flush()
        if open_:
            import webbrowser

            webbrowser.open(served.url)
        try:
            served.serve_forever()
        except (KeyboardInterrupt, RunStopped):
            print("the viewer's server is closed", file=sys.stderr)
