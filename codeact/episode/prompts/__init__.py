"""Prompt strategies: how tasks, actions and observations are put into words."""

from codeact.episode.prompts.base import Action, PromptStrategy
from codeact.episode.prompts.code import CodeStrategy

__all__ = ["Action", "CodeStrategy", "PromptStrategy"]
