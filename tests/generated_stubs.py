"""Are the committed stubs what the protos give? `python -m tests.generated_stubs`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROTOS = Path(__file__).resolve().parent.parent / "protos"
_STUBS = "*_pb2*.py*"


def generate(protos: Path, target: Path) -> None:
    """Write the stubs of all protos below `protos` to `target`, as `make proto` does."""
    # protoc finds its mypy plugins on the PATH, where they stand beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    outputs = [f"--{kind}_out={target}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    sources = sorted(str(file.relative_to(protos)) for file in protos.glob("panglot/v1/*.proto"))
    done = subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outputs, *sources],
        cwd=protos,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the protos do not compile: {done.stderr.strip()}")


def differences(protos: Path = PROTOS) -> list[str]:
    """One line for each stub that is missing, is not what its proto gives, or has no proto."""
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        generate(protos, fresh)
        expected = {file.relative_to(fresh): file for file in fresh.rglob(_STUBS)}
        found = {file.relative_to(protos): file for file in protos.rglob(_STUBS)}
        lines = []
        for name in sorted(expected.keys() | found.keys()):
            if name not in found:
                lines.append(f"protos/{name} is missing")
            elif name not in expected:
                lines.append(f"protos/{name} has no proto: delete it")
            elif expected[name].read_bytes() != found[name].read_bytes():
                lines.append(f"protos/{name} is not what its proto gives")
        return lines


def main() -> int:
    """Print the differences; 1 if there are any."""
    lines = differences()
    for line in lines:
        print(line)
    print("stubs differ: run `make proto`" if lines else "stubs match the protos")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
