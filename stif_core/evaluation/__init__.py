"""Measuring trackers: sequences, metrics, peers, rendered clips."""
