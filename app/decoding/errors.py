"""Errors of decoding that are not caused by the file (those are ``GlitchError``)."""


class DecodersBusyError(Exception):
    """Too many files wait to be decoded; the same request may succeed shortly."""

    retry_after_s = 2
