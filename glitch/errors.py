"""Errors of inputs. Each message is a sentence that says what to do next.

The service maps these types to HTTP statuses in one table; nothing here depends on HTTP.
"""


class GlitchError(ValueError):
    """Root of every error that a user can act on.

    Attributes:
        field: The input that the sentence calls by the API's name, where it names one: a form or a
            command line puts its own name there.
    """

    def __init__(self, message: str = "", *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class FormatError(GlitchError):
    """The bytes are not, or are no longer, a file of a kind that we read."""


class StrainError(GlitchError):
    """The strain cannot be turned into views honestly (gaps, length, rate, GPS time)."""


class ImageError(GlitchError):
    """The picture is no omega scan, or its panel or window length cannot be determined."""


class TooLargeError(GlitchError):
    """The input would decode to more than the stated limit."""


class TableError(GlitchError):
    """A row of a table holds a value that cannot be."""


class CheckpointError(GlitchError):
    """A checkpoint folder is incomplete, damaged, or of another architecture."""
