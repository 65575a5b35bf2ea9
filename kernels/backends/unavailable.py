"""The error of a backend that can't run here, apart from the table of backends, whose modules raise it too."""


class BackendUnavailable(RuntimeError):
    """A backend that was asked for by name can't run here; the message says why and what to install."""
