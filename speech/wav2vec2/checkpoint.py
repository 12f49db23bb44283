"""Reads PyTorch's pickled checkpoints, and runs nothing that stands in them.

A pickle names functions and classes, and asks the reader to import and call them. `torch`'s own
restricted unpickler calls only those that rebuild tensors, and refuses a file that names another.
Checkpoints of training programs do name others, for settings beside the weights: here each becomes
an `Inert` object, which keeps what it is given and does nothing. No module named in a file is
imported.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from common.errors import ModelNotFound

_ZIP = b"PK\x03\x04"
# Before torch 1.6 a file was: magic number, version, system, the object, then its storages.
_PICKLES_BEFORE_STORAGES = 4
_PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Inert:
    """Stands where an object of a class that is not imported would be.

    Attributes:
        arguments: it was called or made with.
        state: its attributes, as they were pickled.
    """

    def __init__(self, *arguments: object) -> None:
        """Keep the arguments."""
        self.arguments = arguments
        self.state: object = None

    def __new__(cls, *arguments: object) -> Inert:
        """As pickle makes objects, without `__init__`."""
        made = super().__new__(cls)
        Inert.__init__(made, *arguments)
        return made

    def __setstate__(self, state: object) -> None:
        """Keep the state; not a single attribute is set by the file."""
        self.state = state


def read_checkpoint(path: Path) -> object:
    """The object a `.pt` or `.bin` file holds, its tensors on the CPU.

    Raises:
        ModelNotFound: there is none, it is no checkpoint of PyTorch, it is damaged, or it asks for
            what even the restricted unpickler does not take. The message says which.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_ZIP)) == _ZIP
        inert: list[Any] = [(Inert, name) for name in sorted(_named(path, zipped))]
        with torch.serialization.safe_globals(inert), warnings.catch_warnings(action="ignore"):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except OSError as error:
        raise ModelNotFound(f"checkpoint {path} cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise ModelNotFound(
            f"{path} is not a checkpoint of PyTorch, is damaged, or holds what is never loaded: "
            f"{_reason(error):.200}"
        ) from error


def fields(value: object) -> dict[str, Any]:
    """What a dict, a namespace or an omegaconf node holds by name; empty for anything else."""
    if isinstance(value, Inert):
        value = value.state
    if isinstance(value, dict) and isinstance(value.get("_content"), dict):
        value = value["_content"]
    if not isinstance(value, dict):
        return {}
    return {name: _leaf(item) for name, item in value.items() if isinstance(name, str)}


def _leaf(value: object) -> object:
    """A value out of its omegaconf node or enumeration."""
    if isinstance(value, Inert) and isinstance(value.state, dict) and "_val" in value.state:
        value = value.state["_val"]
    if isinstance(value, Inert) and value.state is None and len(value.arguments) == 1:
        return value.arguments[0]
    return value


def _reason(error: Exception) -> str:
    text = str(error)
    if match := re.search(r"GLOBAL (\S+) whose module \S+ is blocked", text):
        return f"it asks for {match[1]}"
    # torch surrounds what is wrong by advice to load the file unsafely.
    lines = [line for line in text.splitlines() if line.strip() and "weights_only" not in line]
    return lines[-1] if lines else type(error).__name__


def _named(path: Path, zipped: bool) -> set[str]:
    """`module.name` of everything that a checkpoint asks to import."""
    if zipped:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            if len(members) != 1:
                raise ValueError("it is an archive of something else")
            with archive.open(members[0]) as file:
                return set(_globals(file))
    with path.open("rb") as file:
        return {name for _ in range(_PICKLES_BEFORE_STORAGES) for name in _globals(file)}


def _globals(file: IO[bytes]) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":  # the one by which torch's unpickler takes names
            module, _, name = str(argument).partition(" ")
            yield f"{_PYTHON_2.get(module, module)}.{name}"
