"""Readers of public training sets, each in the layout in which it is distributed."""
