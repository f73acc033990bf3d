"""Semantic hierarchical prompt tuning of vision transformers, and its rivals, compared honestly."""

__version__ = "0.1.0"
