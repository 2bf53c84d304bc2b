"""Backends that run the three functions of a trained network."""
