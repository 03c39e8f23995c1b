"""The functions that `import neuroadda` offers. Each does one verb of the command line, and returns what it made.

One convention: what is needed most is a keyword, everything else is in `config`, and a keyword that is given wins over `config`.
Volumes are paths or URLs (`str` or `Path`) of zarr arrays, or an opened `Volume`; axes are zyx, lengths are in nm unless a name
ends in ``_vx``. A result that is there already, from the same parameters and inputs, is returned at once; stopped work goes on.
`overwrite` replaces results of other parameters or inputs; without it they are never touched. Nothing is printed: `observer`
receives the progress. Errors: `UserError` (something that was given is wrong; one line says what, and names options as the command
does: ``--overwrite`` is `overwrite`), `RunFailed` (work is left over), `RunStopped` (SIGINT or SIGTERM), `PersonNeeded` (a person
has to decide). Warnings go to the logger ``neuroadda.warnings``, and so to standard error where nothing else takes them.
"""
