"""Convert the exceptions that libraries raise on damaged files into one error."""

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
    RuntimeError,  # h5py; zipfile on passwords; NotImplementedError, RecursionError
    ArithmeticError,
    SyntaxError,  # from an npy header, which is a Python literal
    AttributeError,
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


@contextmanager
def damage_as(sentence: str) -> Iterator[None]:
    """Convert any exception in ``DAMAGE`` that the block raises into a ``FormatError``.

    Raises:
        FormatError: with this sentence. Errors of ``glitch.errors`` pass unchanged.
    """
    try:
        yield
    except GlitchError:
        raise
    except DAMAGE as error:
        raise FormatError(sentence) from error
