"""Frozen backbones, from rows of facts to features."""
