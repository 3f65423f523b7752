"""What a model refuses."""

from __future__ import annotations


class ModelError(Exception):
    """A request that the model refuses; the text is for the user or for the hook tool."""


class UnknownError(ModelError):
    """An application, unit, relation or secret that does not exist."""
