"""Exceptions of the readers' libraries on damaged files, and the one error that replaces them."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from glitch.errors import FormatError, GlitchError

DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    RuntimeError,  # h5py's, zipfile's of passwords, NotImplementedError, RecursionError
    ArithmeticError,
    SyntaxError,  # of an npy header, which is a Python literal
    AttributeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def damage_as(sentence: str) -> Iterator[None]:
    """Turn what a library stumbles over within the block into a refusal of the file.

    Raises:
        FormatError: with the sentence. Errors of ``glitch.errors`` pass as they are.
    """
    try:
        yield
    except GlitchError:
        raise
    except DAMAGE as error:
        raise FormatError(sentence) from error
