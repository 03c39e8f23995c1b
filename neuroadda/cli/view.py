"""The verb that shows volumes in Neuroglancer."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from neuroadda.cli.options import Json, MaybeConfigFiles, Overrides, load_run, take_section
from neuroadda.errors import RunStopped, UserError

app = typer.Typer()

PLACES_HELP = "Run folder, volume, pyramid, published folder, proposals, likely errors, or exported Neuroglancer state; or several."
HOST_HELP = "Address to listen on. With another than this machine's own, the network can connect, and needs the token."
TOKEN_HELP = "Secret part of the address; default: none on this machine, a random one on the network."
VIEWER_HELP = (
    "Address of a Neuroglancer; default: the one in neuroadda[view], which needs no network, else the public one."
)
ROOT_HELP = "Serve nothing; print a link for another web server, which serves this folder at --base-url."
BASE_URL = "http://127.0.0.1:8000"


@app.command()
def view(
    places: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help=PLACES_HELP)] = None,
    config: MaybeConfigFiles = None,
    overrides: Overrides = None,
    segments: Annotated[
        list[int] | None, typer.Option("--segment", min=1, help="Id to show in 3-D; default: the largest.")
    ] = None,
    error: Annotated[
        int | None,
        typer.Option(min=1, metavar="RANK", help="Likely error to show; default: the first, if a queue is given."),
    ] = None,
    host: Annotated[str, typer.Option(help=HOST_HELP)] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8322,
    token: Annotated[str | None, typer.Option(envvar="NEUROADDA_VIEW_TOKEN", help=TOKEN_HELP)] = None,
    viewer: Annotated[str | None, typer.Option(help=VIEWER_HELP)] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the view in a browser.")] = False,
    root: Annotated[Path | None, typer.Option(help=ROOT_HELP)] = None,
    base_url: Annotated[
        str | None, typer.Option(help=f"With --root (default: .): its address; default: {BASE_URL}.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a run in Neuroglancer: raw, affinities, segmentation, meshes, proposals, likely errors.

    Only these are served; Ctrl-C ends it.
    """
    from neuroadda.cli.console import print_json
    from neuroadda.viewing.viewer.view import find_view

    for option, address in (("--viewer", viewer), ("--base-url", base_url)):
        if address is not None and not address.startswith(("http://", "https://")):
            raise UserError(f"{address!r} is not an http(s) address", option)
    shown = list(places or ())
    if config or overrides or not shown:
        loaded = load_run(config, overrides, usage="RUN", quiet=as_json)
        shown.append(take_section(loaded, "segment", config).output)
    found = find_view(shown, segments or ())
    if error is not None and error not in found.errors:
        what = f"there is no likely error {error}" if found.errors else "no likely errors are given"
        right = (
            f"1 to {len(found.errors)}"
            if found.errors
            else "name the folder that `neuroadda errors` wrote, such as run/errors"
        )
        raise UserError(what, "--error", right)
    error = error or min(found.errors, default=None)
    if root is not None or base_url is not None:
        from neuroadda.viewing.viewer.addresses import served_address
        from neuroadda.volumes.neuroglancer import VIEWER, state_url

        state = found.to_state(lambda one: served_address(one.location, root or Path(), base_url or BASE_URL), error)
        print_json(state) if as_json else print(state_url(state, viewer or VIEWER))
        return
    from neuroadda.viewing.access import warn_of_network
    from neuroadda.viewing.viewer.server import open_view

    with open_view(found, host, port, token, viewer) as served:
        if warning := warn_of_network(host, "viewer", "the volumes"):
            print(warning, file=sys.stderr)
        if served.viewer is not None:
            print(f"the browser loads the viewer from {served.viewer}, and the volumes from here", file=sys.stderr)
        url = served.url if error is None else f"{served.url}errors/{error}"
        if error is not None:
            print(found.errors[error].describe(found.volumes), file=sys.stderr)
            print(f"each of {len(found.errors)} errors has an address: {served.url}errors/RANK", file=sys.stderr)
            print(f"yes or no goes into the column decision of {found.errors[error].table}", file=sys.stderr)
        print_json({"url": url, "state": served.state(error=error)}) if as_json else print(url)
        sys.stdout.flush()
        if open_:
            import webbrowser

            webbrowser.open(url)
        try:
            served.serve_forever()
        except (KeyboardInterrupt, RunStopped):
            print("the viewer's server is closed", file=sys.stderr)
