"""Settings of the model that is a person."""

from typing import ClassVar, Literal

from codeact.models.base import ModelSettings


class PersonSettings(ModelSettings):
    """A person at this terminal writes what a model would; their words are kept in the record."""

    client_class: ClassVar[str] = "codeact.models.person.client:PersonModel"

    kind: Literal["person"]
    """A person in place of a model."""
    name: str = "person"
    """The person's name in records and tables."""
