"""Prompt strategies: how tasks, actions and observations are put into words."""

from codeact.episode.prompts.base import Action, Observation, PromptStrategy
from codeact.episode.prompts.code import CodeStrategy, VerbatimStrategy

__all__ = ["Action", "CodeStrategy", "Observation", "PromptStrategy", "VerbatimStrategy"]
