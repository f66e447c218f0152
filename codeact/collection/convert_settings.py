"""The settings of ``codeact convert``."""

from typing import Literal, Self

from pydantic import Field, model_validator

from codeact.collection.episode_choice import Episodes
from codeact.collection.masks import Preset
from codeact.collection.settings import SelectionSettings
from codeact.collection.tags import TagSettings
from codeact.episode.settings import Settings

TextFormat = Literal["chatml", "llama3", "qwen3", "template"]
RECORDED = ("preference", "tokens", "atif")
"""Formats that are made of recorded episodes, and not of conversations."""
TEXT_FORMATS: tuple[TextFormat, ...] = ("chatml", "llama3", "qwen3", "template")


class MixSettings(Settings):
    """Other conversations that are mixed in: a share of the whole, or a number."""

    path: str = Field(min_length=1)
    """A file of conversations, or a folder of them."""
    weight: float | None = Field(default=None, gt=0, lt=1)
    """The share of all examples that come from here: the sources and what has a `count` are the
    rest."""
    count: int | None = Field(default=None, ge=1)
    """How many examples come from here."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.weight is None) == (self.count is None):
            raise ValueError(f"{self.path}: give either weight (a share) or count (a number)")
        return self


class ConvertConfig(Settings):
    """``codeact convert``. `pairs` bounds the preference pairs of one task and first message.

    `push`, `repository`, `private` and `licence` are of the format ``hf``. `selection` says for
    preference pairs which episodes count and how they become conversations; of its filters only the
    excluded tasks apply, and to what is chosen those about single turns (`HABITS`). Its step
    ``contamination`` applies to what is mixed in, too.
    """

    source: str | list[str]
    """Files of conversations or folders of them; for `preference`, `tokens` and `atif`, recorded
    episodes."""
    out: str
    """The folder for what is written."""
    format: Literal[
        "sft",
        "openai",
        "hf",
        "preference",
        "tokens",
        "atif",
        "chatml",
        "llama3",
        "qwen3",
        "template",
    ]
    """The form that is written: messages, preference pairs, exact tokens, trajectories by ATIF, or
    text by a chat format."""
    episodes: Episodes
    """For `tokens` and `atif`: episodes that are `counted`, those that are `solved`, or `all`, also
    those that failed for no fault of the policy."""
    loss: Preset | None
    """Which turns are trained: `all`, those that `worked`, the `successful_tail` or the `last`;
    null writes no mask."""
    reasoning: Literal["keep", "drop"]
    """Whether messages keep the reasoning that a server gave apart from their text."""
    tags: TagSettings
    """The text around code and solutions."""
    selection: SelectionSettings
    """For `preference`: which episodes count, and how they become conversations."""
    pairs: int = Field(ge=1)
    """For `preference`: the most pairs of one task and first message."""
    push: bool
    """For `hf`: send the data set to the hub."""
    repository: str | None
    """For `hf`: the repository at the hub, OWNER/NAME."""
    licence: str = Field(min_length=1)
    """The licence that the card names."""
    private: bool
    """For `hf`: whether the repository is private."""
    template: str | None
    """For `template`: a tokenizer folder with a chat template."""
    variables: dict[str, str | int | float | bool | None] | None
    """For `template`: what the template may read besides the messages, such as `date_string`."""
    system: Literal["keep", "merge"]
    """For text: `merge` puts the system message in front of the first user message."""
    pack: int | None = Field(ge=8)
    """For text: tokens of a row that holds several examples; null writes text."""
    tokenizer: str | None
    """For `pack`: qwen3, llama3, or a folder with tokenizer.json; null is the format's own. For
    `tokens`: the one whose vocabulary all ids must be in; null checks nothing."""
    mix: list[MixSettings]
    """Other conversations that are mixed in: a list of {path, weight} or {path, count}."""
    seed: int
    """The seed by which mixed conversations are drawn and ordered."""

    @property
    def sources(self) -> list[str]:
        return [self.source] if isinstance(self.source, str) else self.source

    @property
    def is_text(self) -> bool:
        """Whether conversations are written as text, or as its tokens."""
        return self.format in TEXT_FORMATS

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if self.push and (self.format != "hf" or not self.repository):
            raise ValueError("push=true needs format=hf and repository=OWNER/NAME")
        if (self.format == "template") != (self.template is not None):
            raise ValueError("format=template and template=FOLDER need each other")
        if self.variables and self.format != "template":
            raise ValueError("variables are for format=template")
        if not self.is_text and (self.pack is not None or self.system != "keep"):
            raise ValueError(f"pack and system are for text: format={'|'.join(TEXT_FORMATS)}")
        if self.tokenizer is not None and self.pack is None and self.format != "tokens":
            raise ValueError("tokenizer is for pack and format=tokens: text has no tokens yet")
        if self.pack is not None and self.loss is None:
            raise ValueError("pack needs loss=PRESET: packed rows say which tokens are trained")
        if self.mix and self.format in RECORDED:
            raise ValueError(f"mix is for conversations, and format={self.format} reads recordings")
        if self.reasoning == "drop" and self.format == "tokens":
            raise ValueError("reasoning=drop is for messages and text: tokens are as sampled")
        if sum(one.weight or 0 for one in self.mix) >= 1:
            raise ValueError("mix: the weights are shares of the whole, so their sum is below 1")
        return self
