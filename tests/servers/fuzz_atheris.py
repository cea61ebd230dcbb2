"""The request parser under atheris, which changes inputs by what they reach in the code.

python tests/servers/fuzz_atheris.py [RUNS], with `pip install atheris`: 20,000 runs, or as many as
it is told. What reaches something new, after atheris has made it as short and as few as it can, is
kept in corpus/found.txt; from there fuzz_http.py and the tests send it to a server as well.

atheris must see the lines, which the compiled parser does not show. So http1.py is loaded a second
time, as it stands in src. The laws: whatever comes is read, or refused with a status for it; cut
into pieces it means the same; and the installed parser, compiled as a rule, says the same of it.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import fuzz_http

from greenroom.servers import http1

SERVERS = Path(__file__).parents[2] / "src" / "greenroom" / "servers"
LONGEST = 400  # bytes of an input: some headers, or two small requests


def meaning(data: bytes, module: ModuleType) -> object:
    """Return the requests in data, or the status of the refusal."""
    try:
        return fuzz_http.parse_all(data, module)
    except module.BadRequest as error:
        assert 400 <= error.status < 500 or error.status in (501, 505), data
        return error.status


def in_pieces(data: bytes, step: int, module: ModuleType) -> object:
    """Return what the first head in data means if it comes in pieces."""
    parser = module.RequestParser()
    seen = 0
    for size in [*range(step, len(data), step), len(data)]:
        try:
            end = parser.parse(data[:size], 0, seen)
        except module.BadRequest:  # which of several faults may depend on how much had come
            return "refused"
        if end >= 0:
            return end, parser.method, parser.target, parser.headers, parser.length
        seen = size
    return "more"


def check(data: bytes, module: ModuleType) -> None:
    """Check the laws for one input."""
    assert meaning(data, module) == meaning(data, http1), data
    whole = in_pieces(data, len(data) or 1, module)
    for step in (1, 7):
        assert in_pieces(data, step, module) == whole, (step, data)


def fuzz(arguments: list[str]) -> None:
    """Run atheris in this process, which it ends."""
    import atheris

    sys.path.append(str(SERVERS))  # at the end: it has an http.py
    with atheris.instrument_imports(include=["http1"]):
        import http1 as plain

    again = shlex.join([sys.executable, __file__, "fuzz"])  # -merge starts itself, by a shell
    atheris.Setup([again, *arguments], lambda data: check(data, plain))
    atheris.Fuzz()


def main(runs: int) -> int:
    """Fuzz in children, and add what they found to the corpus. Returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        seeds, all_found, best = (Path(folder, name) for name in ("seeds", "all", "best"))
        for place in (seeds, all_found, best):
            place.mkdir()
        for number, data in enumerate(fuzz_http.corpus()):
            (seeds / str(number)).write_bytes(data)
        limits = [f"-max_len={LONGEST}", "-verbosity=1", f"-artifact_prefix={folder}/"]
        for arguments in (
            [f"-runs={runs}", *limits, all_found, seeds],
            ["-merge=1", *limits, best, seeds, all_found],
        ):
            command = [sys.executable, __file__, "fuzz", *map(str, arguments)]
            status = subprocess.run(command).returncode
            if status:
                print("what it failed at is the input in the assertion above", file=sys.stderr)
                return status
        known = set(fuzz_http.corpus())
        new = sorted({path.read_bytes() for path in best.iterdir()} - known)
    with fuzz_http.FOUND.open("a", encoding="ascii") as file:
        file.writelines(f"{fuzz_http.as_line(data)}\n" for data in new if data)
    print(f"atheris: {runs} runs, {len(new)} kept that reach something new")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["fuzz"]:
        fuzz(sys.argv[2:])
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
