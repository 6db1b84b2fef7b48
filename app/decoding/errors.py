"""What can be wrong with decoding besides the file; that is a ``GlitchError``."""


class DecodersBusyError(Exception):
    """Too many files wait to be decoded; the same request may succeed shortly."""

    retry_after_s = 2
