"""Backends that run the two functions of a trained network."""
