"""Prompt strategies: how tasks, actions and observations are put into words."""

from codeact.episode.prompts.base import Action, Observation, PromptStrategy, Style, setup_of
from codeact.episode.prompts.code import CodeStrategy, VerbatimStrategy
from codeact.episode.prompts.format import ActionFormat

__all__ = [
    "Action",
    "ActionFormat",
    "CodeStrategy",
    "Observation",
    "PromptStrategy",
    "Style",
    "VerbatimStrategy",
    "setup_of",
]
