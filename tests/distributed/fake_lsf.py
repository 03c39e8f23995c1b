"""A stand-in for LSF, one machine with four places: bsub, bkill and bjobs, after IBM's description of them.

Called by one of these names. State lies in the folder LSF_ENVDIR: of each job a folder, named by its id, with the files name, stat
(PEND, RUN, DONE or EXIT), group (of its processes), and code.
"""

import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

STATE = Path(os.environ["LSF_ENVDIR"])
PLACES = 4
TERMINATE_INTERVAL = 2.0  # seconds that a job has to end by itself
QUEUES = ("normal", "gpu")
FLAGS = ("-K", "-r")


def main() -> int:
    return {"bsub": bsub, "bkill": bkill, "bjobs": bjobs}[Path(sys.argv[0]).name](sys.argv[1:])


def bsub(arguments: list[str]) -> int:
    options = parse(arguments)
    queue = options.get("-q", "normal")
    if queue not in QUEUES:
        return fail(f"{queue}: No such queue. Job not submitted.")
    script = sys.stdin.read()
    with open(STATE / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        job = STATE / str(1 + sum(entry.name.isdigit() for entry in STATE.iterdir()))
        job.mkdir()
    put(job, "name", options.get("-J", ""))
    put(job, "script", script)
    (job / "script").chmod(0o700)
    put(job, "stat", "PEND")
    print(f"Job <{job.name}> is submitted to queue <{queue}>.", flush=True)
    if os.fork() == 0:  # LSF's own: whatever becomes of bsub, the job stays
        os.setsid()
        with open(os.devnull, "r+") as nothing:
            for stream in (sys.stdin, sys.stdout, sys.stderr):
                os.dup2(nothing.fileno(), stream.fileno())
        run(job, options)
        os._exit(0)
    if "-K" not in options:
        return 0
    print("<<Waiting for dispatch ...>>", file=sys.stderr, flush=True)
    while not (job / "code").exists():
        time.sleep(0.05)
    return int((job / "code").read_text())


def run(job: Path, options: dict[str, str]) -> None:
    with open(STATE / "lock", "a") as lock:
        place = None
        while place is None:
            if get(job, "stat") == "EXIT":
                return
            place = take_place()
            time.sleep(0.05)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if get(job, "stat") == "EXIT":
            return
        with open(options.get("-o", os.devnull), "a") as output:
            child = subprocess.Popen(
                [str(job / "script")],
                cwd=options.get("-cwd"),
                env=os.environ | {"LSB_JOBID": job.name, "LSB_JOBNAME": options.get("-J", "")},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        put(job, "group", str(child.pid))
        put(job, "stat", "RUN")
    code = child.wait()
    end(job, code if code >= 0 else 128 - code)


def take_place() -> object | None:
    for number in range(PLACES):
        place = open(STATE / f"place-{number}", "a")  # noqa: SIM115 (it is held as long as it is open)
        with suppress(BlockingIOError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return place
        place.close()
    return None


def bkill(arguments: list[str]) -> int:
    if arguments[:1] == ["-J"]:
        found = [job for job in jobs() if get(job, "name") == arguments[1]]
    else:
        found = [job for job in jobs() if job.name in arguments]
    for job in found:
        with open(STATE / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            stat = get(job, "stat")
            if stat == "PEND":
                end(job, 143)
        if stat == "RUN":
            for signum, patience in ((signal.SIGINT, 0.0), (signal.SIGTERM, TERMINATE_INTERVAL), (signal.SIGKILL, 0.0)):
                with suppress(ProcessLookupError):
                    os.killpg(int(get(job, "group")), signum)
                deadline = time.monotonic() + patience
                while not (job / "code").exists() and time.monotonic() < deadline:
                    time.sleep(0.05)
        print(f"Job <{job.name}> is being terminated")
    return 0 if found else fail("No matching job found")


def bjobs(arguments: list[str]) -> int:
    options = parse(arguments, flags=("-noheader",))
    for job in jobs():
        if get(job, "name") == options.get("-J", get(job, "name")):
            print(job.name, get(job, "stat"))
    return 0


def jobs() -> list[Path]:
    """Return the jobs that are not over."""
    return [job for job in STATE.iterdir() if job.name.isdigit() and get(job, "stat") in ("PEND", "RUN")]


def end(job: Path, code: int) -> None:
    put(job, "stat", "EXIT" if code else "DONE")
    put(job, "code", str(code))


def get(job: Path, name: str) -> str:
    try:
        return (job / name).read_text()
    except FileNotFoundError:
        return ""


def put(job: Path, name: str, text: str) -> None:
    (job / f".{name}").write_text(text)
    (job / f".{name}").replace(job / name)


def parse(arguments: list[str], flags: tuple[str, ...] = FLAGS) -> dict[str, str]:
    left, options = list(arguments), {}
    while left:
        name = left.pop(0)
        options[name] = "" if name in flags else left.pop(0)
    return options


def fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 255


if __name__ == "__main__":
    sys.exit(main())
