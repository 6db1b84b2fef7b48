"""Errors of decoding that the file does not cause (those are ``GlitchError``)."""


class DecodersBusyError(Exception):
    """Too many files wait to be decoded; the same request may succeed soon."""

    retry_after_s = 2
