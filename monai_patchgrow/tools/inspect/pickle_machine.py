"""The stack and the memo of a pickle, kept by kinds of values: nothing is imported, called or made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BrokenPickleError", "PickleMachine"]

_CALLED = {
    "builtins set",
    "collections OrderedDict",
    "torch Size",
    "torch device",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_qtensor",
    "torch._utils _rebuild_sparse_tensor",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch.serialization _get_layout",
}
_NAMED = re.compile(
    r"torch ([A-Z]\w*Storage|(bfloat|float|u?int|complex)\d+|bool|half|float|double|long|int|short)"
    r"|torch\.storage (UntypedStorage|TypedStorage)"
)
_MODULE = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")
_PUSHED = re.compile(
    r"NONE|NEWTRUE|NEWFALSE|(BIN)?INT\d?|BINFLOAT|FLOAT|LONG\d?|(SHORT_)?BINBYTES8?|BYTEARRAY8|EMPTY_\w+"
)
_TEXT = re.compile(r"(SHORT_)?(BIN)?(UNICODE|STRING)8?")
_ON_THE_FLY = "a name made on the fly"
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


@dataclass(frozen=True)
class _Value:
    """A place of the stack: the mark, a text, a name that was imported, what a call made, or other data."""

    kind: str
    text: str = ""


_DATA, _MARK, _MADE = _Value("data"), _Value("mark"), _Value("made")


class BrokenPickleError(Exception):
    """The unpickler would stop here."""


@dataclass
class PickleMachine:
    """What Python's unpickler would have done, opcode by opcode.

    faults: what was found, and why; of names and opcodes that a checkpoint of tensors does not need.
    runs: whether something was called, or something imported was changed.
    first: the first plain value.
    """

    stack: list[_Value] = field(default_factory=list)
    memo: dict[int, _Value] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    runs: bool = False
    first: Any = None

    def step(self, opcode: str, argument: Any) -> None:
        """Take one opcode.

        Raises:
            BrokenPickleError: Python's unpickler would not get past it.
        """
        if opcode in ("PROTO", "FRAME", "STOP"):
            return
        if not (self._push(opcode, argument) or self._change(opcode) or self._make(opcode, argument)):
            self.faults[f"opcode {opcode}"] = "is none of a checkpoint of tensors"
            self.stack.append(_DATA)

    def _push(self, opcode: str, argument: Any) -> bool:
        """Take an opcode that puts plain values on the stack; False: it is another."""
        if opcode in _TUPLES:
            self._pop(_TUPLES[opcode])
            self.stack.append(_DATA)
        elif _TEXT.fullmatch(opcode):
            self.stack.append(_Value("text", str(argument)))
        elif _PUSHED.fullmatch(opcode):
            self.stack.append(_DATA)
            if self.first is None:
                self.first = argument
        elif opcode == "MARK":
            self.stack.append(_MARK)
        elif opcode in ("TUPLE", "LIST", "DICT", "FROZENSET"):
            self._pop_to_mark()
            self.stack.append(_DATA)
        elif "PUT" in opcode or opcode == "MEMOIZE":
            self.memo[len(self.memo) if argument is None else argument] = self._top()
        elif opcode.endswith("GET"):
            if argument not in self.memo:
                raise BrokenPickleError
            self.stack.append(self.memo[argument])
        elif opcode == "DUP":
            self.stack.append(self._top())
        elif opcode == "BINPERSID":
            self._pop(1)
            self.stack.append(_DATA)
        else:
            return False
        return True

    def _change(self, opcode: str) -> bool:
        """Take an opcode that drops values, or puts them into the one below; False: it is another."""
        if opcode in ("APPEND", "SETITEM", "BUILD"):
            self._pop(2 if opcode == "SETITEM" else 1)
        elif opcode in ("APPENDS", "SETITEMS", "ADDITEMS"):
            self._pop_to_mark()
        elif opcode == "POP_MARK" or (opcode == "POP" and self.stack[-1:] == [_MARK]):
            self._pop_to_mark()
            return True
        elif opcode == "POP":
            self._pop(1)
            return True
        else:
            return False
        if self._top().kind == "global":
            self.runs = True
            self.faults[f"{opcode} of {self._top().text.replace(' ', '.')}"] = "loading changes what it imported"
        return True

    def _make(self, opcode: str, argument: Any) -> bool:
        """Take an opcode that imports or calls; False: it is another."""
        if opcode == "GLOBAL":
            self._find(str(argument))
        elif opcode == "STACK_GLOBAL":
            module, name = self._pop(2)
            self._find(f"{module.text} {name.text}" if module.kind == name.kind == "text" else _ON_THE_FLY)
        elif opcode in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self._call(self._pop(3 if opcode == "NEWOBJ_EX" else 2)[0])
        elif opcode == "INST":
            self._find(str(argument))
            found = self._pop(1)[0]
            self._pop_to_mark()
            self._call(found)
        elif opcode == "OBJ":
            self._call((self._pop_to_mark() or [_DATA])[0])
        else:
            return False
        return True

    def _find(self, name: str) -> None:
        if not _MODULE.fullmatch(name) and name != _ON_THE_FLY:
            raise BrokenPickleError
        if name not in _CALLED and not _NAMED.fullmatch(name):
            self.faults[name.replace(" ", ".") if _MODULE.fullmatch(name) else name] = (
                "loading imports it, and may call it: no part of a checkpoint of tensors"
            )
        self.stack.append(_Value("global", name))

    def _call(self, callee: _Value) -> None:
        self.runs = True
        if callee.kind != "global":
            self.faults["a call of what the pickle makes"] = "loading runs it"
        elif callee.text in _CALLED or _NAMED.fullmatch(callee.text) is None:
            pass  # known, or named already
        else:
            self.faults[callee.text.replace(" ", ".")] = "is called, where a checkpoint of tensors only names it"
        self.stack.append(_MADE)

    def _top(self) -> _Value:
        if not self.stack or self.stack[-1] is _MARK:
            raise BrokenPickleError
        return self.stack[-1]

    def _pop(self, number: int) -> list[_Value]:
        taken = self.stack[-number:]
        if len(taken) < number or _MARK in taken:
            raise BrokenPickleError
        del self.stack[-number:]
        return taken

    def _pop_to_mark(self) -> list[_Value]:
        if _MARK not in self.stack:
            raise BrokenPickleError
        taken = []
        while (value := self.stack.pop()) is not _MARK:
            taken.append(value)
        return taken[::-1]
