"""Errors of inputs. Each message is a sentence that says what to do next.

The service maps these types to HTTP statuses in one table; nothing here depends on HTTP.
"""


class GlitchError(ValueError):
    """Root of every error that a user can act on.

    Attributes:
        field: API name of the input that the message mentions, if any. Forms and the command line
            replace it with their own name.
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class FormatError(GlitchError):
    """The bytes are not a valid file of a supported format, or are damaged."""


class StrainError(GlitchError):
    """The strain cannot be turned into faithful views (gaps, length, rate, GPS time)."""


class ImageError(GlitchError):
    """The picture is not an omega scan, or its panel or window length cannot be determined."""


class TooLargeError(GlitchError):
    """The input would decode to more than the stated limit."""


class TableError(GlitchError):
    """A row of a table holds an impossible value."""


class CheckpointError(GlitchError):
    """A checkpoint folder is incomplete, damaged, or of another architecture."""
